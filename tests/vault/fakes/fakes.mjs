// SPDX-License-Identifier: Apache-2.0
// The secret managers of AWS, Google, HashiCorp and Azure as far as they are read from, by their public protocols and strict
// about all that they are strict about. Prints one line of JSON: the ports, each store by http and (NAME_tls) by https where
// CERT and KEY of the environment say so. Ends with its input.
//
// Control, which no real store has: POST /_fake with {"state": {…}} merges into the store's state (aws.mjs … say what there
// is), {"fault": {…}|null} makes later answers fail (see faults below), {"forget": true} empties what was logged.
// {"all": {NAME: order}} gives each store its own. GET /_fake gives {"requests": [{"method", "path", "action", "connection", "at"}]}.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';

import * as aws from './aws.mjs';
import * as azure from './azure.mjs';
import * as gcp from './gcp.mjs';
import * as kms from './kms.mjs';
import * as transit from './transit.mjs';
import * as vault from './vault.mjs';

const stores = {aws, gcp, vault, azure, kms, transit};
const BODY_MAX = 1 << 20;
const controls = {};
let connections = 0;

const merge = (to, from) => {
  for (const [key, value] of Object.entries(from)) {
    const both = value && to[key] && typeof value === 'object' && typeof to[key] === 'object' && !Array.isArray(value);
    if (both) merge(to[key], value);
    else if (value === null) delete to[key];
    else to[key] = value;
  }
};

const read = (req) => new Promise((resolve, reject) => {
  const parts = [];
  let size = 0;
  req.on('data', (part) => {
    size += part.length;
    if (size > BODY_MAX) reject(new Error('too large'));
    else parts.push(part);
  });
  req.on('end', () => resolve(Buffer.concat(parts)));
  req.on('error', reject);
});

const send = (res, answer) => {
  const body = Buffer.isBuffer(answer.body) ? answer.body : Buffer.from(answer.body ?? '');
  res.writeHead(answer.status, {'content-length': body.length, ...answer.headers});
  res.end(body);
};

// How a store fails: fault.kind, on requests whose action contains fault.action ('' all), fault.times times (absent: always).
const faults = {
  never: () => {},
  close: (fault, res) => res.destroy(),
  partial: (fault, res, answer) => {
    const body = Buffer.from(answer.body ?? '');
    res.writeHead(answer.status, {'content-length': body.length, ...answer.headers});
    res.write(body.subarray(0, body.length >> 1));
    setTimeout(() => res.destroy(), 5);
  },
  trickle: (fault, res, answer) => {
    const body = Buffer.from(answer.body ?? '');
    res.writeHead(answer.status, {'content-length': body.length, ...answer.headers});
    let at = 0;
    const next = () => {
      if (at >= body.length || res.destroyed) return res.end();
      res.write(body.subarray(at, ++at));
      setTimeout(next, fault.ms);
    };
    next();
  },
  slow: (fault, res, answer) => setTimeout(() => send(res, answer), fault.ms),
  page: (fault, res) => send(res, {status: fault.status, headers: {'content-type': 'text/html'}, body: '<html><h1>proxy</h1></html>'}),
  body: (fault, res) => send(res, {status: fault.status ?? 200, headers: {'content-type': 'application/json'}, body: fault.body}),
  huge: (fault, res) => send(res, {status: 200, headers: {}, body: Buffer.alloc(1 << 20, 0x20)}),
  throttle: (fault, res, answer, store, req) => send(res, store.throttled(req)),
  fail: (fault, res, answer, store, req) => send(res, store.failed(req)),
};

const serve = (name) => {
  const store = stores[name];
  const state = store.initial();
  const log = [];
  let fault = null;

  const obey = (order) => {
    if ('fault' in order) fault = order.fault;
    if (order.state) merge(state, order.state);
    if (order.forget) log.length = 0;
  };
  controls[name] = obey;
  const control = async (req, res) => {
    if (req.method === 'POST') {
      const order = JSON.parse(await read(req));
      if (order.all) for (const [other, its] of Object.entries(order.all)) controls[other](its);
      else obey(order);
    }
    send(res, {status: 200, headers: {'content-type': 'application/json'}, body: JSON.stringify({requests: log, state})});
  };
  const handle = async (req, res) => {
    if (req.url === '/_fake') return control(req, res);
    const body = await read(req);
    const action = store.action(req, body);
    log.push({method: req.method, path: req.url, action, connection: req.socket.number, at: Date.now()});
    // What it does it does, whatever becomes of the answer.
    const answer = await store.answer(req, body, state);
    if (fault && action.includes(fault.action ?? '') && (fault.times === undefined || fault.times-- > 0))
      return faults[fault.kind](fault, res, answer, store, req);
    send(res, answer);
  };
  const safe = (req, res) => handle(req, res).catch((error) => {
    process.stderr.write(`${name}: ${error.stack}\n`);
    res.destroy();
  });
  const numbered = (server) => server.on(server instanceof https.Server ? 'secureConnection' : 'connection', (socket) => {
    socket.number = ++connections;
    socket.setNoDelay(true);
  });
  const made = [[name, numbered(http.createServer({keepAliveTimeout: 60000}, safe))]];
  if (process.env.CERT) {
    const options = {cert: fs.readFileSync(process.env.CERT), key: fs.readFileSync(process.env.KEY), keepAliveTimeout: 60000};
    made.push([`${name}_tls`, numbered(https.createServer(options, safe))]);
  }
  return made;
};

const ports = {};
for (const name of Object.keys(stores)) {
  for (const [label, server] of serve(name)) {
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports[label] = server.address().port;
  }
}
process.stdout.write(`${JSON.stringify(ports)}\n`);
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
