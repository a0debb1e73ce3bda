// Events of the server, by one stream for all tabs: of a shared worker, or else of a leading tab.
import { Stream } from "./stream.js";

const CHANNEL = `caterva2-events ${new URL("../..", import.meta.url).pathname}`; // of one server below this host

export function events(user, deliver) {
  if ("SharedWorker" in window) byWorker(user, deliver);
  else if (navigator.locks && "BroadcastChannel" in window) byLeader(deliver);
  else new Stream(deliver);
}

function byWorker(user, deliver) {
  const address = new URL("live-worker.js", import.meta.url);
  const worker = new SharedWorker(address, { type: "module", name: "caterva2" });
  worker.port.onmessage = ({ data }) => deliver(data);
  const hello = () => worker.port.postMessage({ user });
  addEventListener("pagehide", () => worker.port.postMessage({ bye: true }));
  addEventListener("pageshow", (event) => { if (event.persisted) hello(); });
  hello();
}

function byLeader(deliver) {
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => deliver(data);
  navigator.locks.request(CHANNEL, () => new Promise(() => {
    new Stream((event) => { channel.postMessage(event); deliver(event); });
  })); // the lock is held until this tab is closed
}
