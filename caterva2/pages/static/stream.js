// The stream of events of the server, opened again whenever it ends.
const KINDS = ["roots", "change", "lost"];
const AGAIN_MS = 5000;
const EVENTS = new URL("../../api/events", import.meta.url); // below /static/DIGEST/, and what is in front of that

export class Stream {
  constructor(deliver) {
    this.deliver = deliver;
    this.open();
  }

  open() {
    this.close();
    const source = this.source = new EventSource(EVENTS);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => this.deliver({ kind, ...JSON.parse(event.data) }));
    }
    source.onopen = () => this.deliver({ kind: "server", state: "up" });
    source.onerror = () => {
      this.deliver({ kind: "server", state: "down" });
      if (source.readyState === EventSource.CLOSED) this.later = setTimeout(() => this.open(), AGAIN_MS);
    };
  }

  close() {
    clearTimeout(this.later);
    this.source?.close();
  }
}
