#!/usr/bin/env node
// trigger: start a run of a workflow, print its output as it comes, and wait for its end, with zeromq from npm.
//
//     npm install
//     node trigger.mjs ipc:///run/cdktr/cdktr.sock etl.daily day=2026-01-31
//     CDKTR_CREDENTIAL=ci.cred node trigger.mjs tcp://hub:5561 etl.daily
//
// Exit codes: 0 it succeeded, 1 it did not, 2 bad usage, 3 no principal, 4 not allowed, 5 refused. The protocol: docs/protocol.md.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { Dealer } from "zeromq";

// credential reads the file that cdktr authorize --new has made, as options of a socket.
function credential(file) {
  const text = readFileSync(file, "utf8");
  const key = (name) => {
    const found = text.match(new RegExp(`^\\s*${name} = "(.{40})"$`, "m"));
    if (!found) throw new Error(`${file}: no ${name} of 40 characters`);
    return found[1];
  };
  return { curveServerKey: key("server-key"), curvePublicKey: key("public-key"), curveSecretKey: key("secret-key") };
}

// ask sends a request over a connection of its own, and gives its replies. Only the first one has a deadline.
async function* ask(endpoint, keys, request) {
  const socket = new Dealer({ linger: 0, heartbeatInterval: 5000, heartbeatTimeout: 10000, ...keys });
  const lost = new Promise((_, fail) => {
    const end = (code, message) => () => fail(Object.assign(new Error(message), { code }));
    socket.events.on("disconnect", end("lost", "the connection is gone"));
    socket.events.on("handshake:error:auth", end("not_allowed", "the principal does not know our key: authorize it there"));
  });
  lost.catch(() => {}); // it may come when nobody waits
  try {
    socket.connect(endpoint);
    socket.receiveTimeout = 10000;
    await socket.send(JSON.stringify({ v: 1, id: "1", ...request }));
    for (let more = true; more; ) {
      const frames = await Promise.race([socket.receive(), lost]);
      const reply = JSON.parse(frames.at(-1));
      socket.receiveTimeout = -1;
      if (reply.error) throw Object.assign(new Error(reply.error.message), reply.error);
      more = reply.more;
      yield reply;
    }
  } finally {
    socket.close();
  }
}

// patiently does what is harmless to do twice, again after what passes.
async function patiently(passing, what) {
  for (let tries = 1; ; tries++) {
    try {
      return await what();
    } catch (e) {
      if (!passing.includes(e.code) || tries === 10) throw e;
      await new Promise((done) => setTimeout(done, 500));
    }
  }
}

// start queues a run and gives its id. Its key makes it harmless to ask twice.
async function start(endpoint, keys, request) {
  for await (const reply of ask(endpoint, keys, { op: "run", ...request })) return reply.run;
}

// follow prints the output of a run and gives the run as it ended; seen.line is the last line that was printed.
async function follow(endpoint, keys, run, seen) {
  for await (const reply of ask(endpoint, keys, { op: "wait", run, follow: true })) {
    if (reply.runs) return reply.runs[0];
    if (!reply.line || reply.line.i <= seen.line) continue;
    seen.line = reply.line.i;
    const text = reply.line.b ? Buffer.from(reply.line.b, "base64") : (reply.line.m ?? "");
    const stream = reply.line.s === "o" ? process.stdout : process.stderr;
    stream.write(text);
    stream.write("\n");
  }
}

async function main([endpoint, workflow, ...pairs]) {
  if (!workflow || pairs.some((p) => p.indexOf("=") < 1)) {
    console.error("usage: trigger.mjs ENDPOINT WORKFLOW [NAME=VALUE...]");
    return 2;
  }
  const keys = process.env.CDKTR_CREDENTIAL ? credential(process.env.CDKTR_CREDENTIAL) : {};
  const params = Object.fromEntries(pairs.map((p) => [p.slice(0, p.indexOf("=")), p.slice(p.indexOf("=") + 1)]));
  const request = { workflow, params, key: `node-${randomUUID()}` };
  const run = await patiently(["lost", "stopping"], () => start(endpoint, keys, request));
  const seen = { line: 0 };
  const { state } = await patiently(["lost", "stopping", "EAGAIN"], () => follow(endpoint, keys, run, seen));
  console.error(`run ${run} ${state}`);
  return state === "succeeded" || state === "skipped" ? 0 : 1;
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (e) => {
    console.error(`trigger.mjs: ${e.code === "EAGAIN" ? "nobody answers" : e.message}`);
    process.exitCode = { EAGAIN: 3, lost: 3, not_allowed: 4 }[e.code] ?? (e.retry === undefined ? 2 : 5);
  },
);
