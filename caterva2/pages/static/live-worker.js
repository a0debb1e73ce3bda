// One stream of events for all tabs of a browser: each has six connections to a server only.
import { Stream } from "./stream.js";

const ports = new Map();
let stream = null;
let user = null;
let state = null;

function deliver(event) {
  if (event.kind === "server") state = event;
  for (const port of ports.keys()) port.postMessage(event);
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.bye) {
      ports.delete(port);
      if (!ports.size) { stream?.close(); stream = null; }
      return;
    }
    ports.set(port, data.user);
    if (stream && user === data.user) {
      if (state) port.postMessage(state);
      return;
    }
    user = data.user; // another one reads other roots
    if (stream) stream.open();
    else stream = new Stream(deliver);
  };
};
