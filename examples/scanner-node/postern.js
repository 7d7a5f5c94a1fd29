// What every scanner for Postern does, whatever it looks for: the handshake, the services of the contract (plugin.proto), health, drain, and the
// end with the host. serve() takes what is the scanner's own.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');
const contract = require('./plugin.proto'); // its text: the bundler puts it in, so that the plugin is one file

// The services that go-plugin asks for beside the contract's own.
const health = `syntax = "proto3"; package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse { enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; } ServingStatus status = 1; }
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); rpc Watch(HealthCheckRequest) returns (stream HealthCheckResponse); }`;
const controller = `syntax = "proto3"; package plugin;
message Empty {}
service GRPCController { rpc Shutdown(Empty) returns (Empty); }`;

const maxMessage = 1 << 20;
const cookie = 'd5c1c7f0-plugin-v1';

function load(text) {
  const root = protobuf.parse(text, { keepCase: true }).root.toJSON();
  return grpc.loadPackageDefinition(protoLoader.fromJSON(root, { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true }));
}

// log writes a line for the host's diagnostics, as hclog does.
function log(level, message, fields = {}) {
  process.stderr.write(JSON.stringify({ '@level': level, '@message': message, ...fields }) + '\n');
}

// Downstream is an error of a server behind the plugin, not of the plugin.
class Downstream extends Error {}

// serve runs a scanner until the host is gone. The scanner has
//   name, version, summary  what it is
//   config, query           the schemas of its blocks: { attributes: [{ name, summary, type: 'TYPE_STRING', ... }], blocks: [...] }
//   inputs                  what it is shown of a message: { parts: true, bodies: 'BODIES_ALL', needs_any: ['NEED_ATTACHMENT'], ... }
//   configure(config, queries)  gets the checked blocks, queries by their number; returns problems [{ path, summary, detail, warning }]
//   scan(message)           returns (a promise of) { findings, troubles }; throws where it could not look, which never means clean
function serve(scanner) {
  if (process.env.POSTERN_PLUGIN !== cookie) {
    process.stderr.write(`${scanner.name} ${scanner.version} is a Postern plugin: name it in a plugin block of the gateway's policy.\n`);
    process.exit(2);
  }
  process.stdin.on('end', () => process.exit(0)).resume(); // the host is gone

  let underWay = 0;
  let drained = [];
  const begin = () => { underWay++; };
  const end = () => {
    if (--underWay === 0) {
      drained.splice(0).forEach((tell) => tell());
    }
  };

  const services = load(contract).plugin.v1;
  const server = new grpc.Server({ 'grpc.max_receive_message_length': maxMessage, 'grpc.max_send_message_length': maxMessage });
  server.addService(services.PluginService.service, {
    Describe: (call, answer) => answer(null, {
      name: scanner.name, version: scanner.version, api_minor: [0], roles: ['ROLE_SCANNER'], summary: scanner.summary,
      config: scanner.config || {}, scan: scanner.query || {}, inputs: scanner.inputs,
    }),
    Configure: (call, answer) => answer(null, { diagnostics: configure(scanner, call.request) }),
    Drain: (call, answer) => {
      const tell = () => answer(null, {});
      return underWay === 0 ? tell() : drained.push(tell);
    },
  });
  server.addService(services.ScannerService.service, { Scan: (call, answer) => receive(scanner, call, answer, begin, end) });
  server.addService(load(health).grpc.health.v1.Health.service, {
    Check: (call, answer) => answer(null, { status: 'SERVING' }),
    Watch: (call) => call.write({ status: 'SERVING' }), // it stays open
  });
  server.addService(load(controller).plugin.GRPCController.service, {
    Shutdown: (call, answer) => {
      answer(null, {});
      server.tryShutdown(() => process.exit(0));
    },
  });

  const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR, 'plugin.sock');
  server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (err) => {
    if (err) {
      log('error', 'listening failed', { error: err.message });
      process.exit(1);
    }
    process.stdout.write(`1|1|unix|${socket}|grpc\n`);
  });
}

// configure answers what is wrong as diagnostics, never as an error.
function configure(scanner, request) {
  let problems;
  try {
    const queries = new Map(request.queries.map((query) => [query.number, JSON.parse(query.config_json)]));
    problems = scanner.configure ? scanner.configure(JSON.parse(request.config_json || '{}'), queries) || [] : [];
  } catch (err) {
    problems = [{ path: ['config'], summary: 'The configuration cannot be used', detail: err.message }];
  }
  return problems.map((problem) => ({
    severity: problem.warning ? 'SEVERITY_WARNING' : 'SEVERITY_ERROR', path: problem.path.map(String), summary: problem.summary, detail: problem.detail || '',
  }));
}

// receive takes the frames of one call, lets the scanner look, and answers once.
function receive(scanner, call, callback, begin, end) {
  begin();
  let message = null;
  let over = false;
  const answer = (err, report) => {
    if (!over) {
      over = true;
      end();
      callback(err, report);
    }
  };
  const chunks = new Map();
  call.on('cancelled', () => answer({ code: grpc.status.CANCELLED, details: 'scan: cancelled' }));
  call.on('error', (err) => answer({ code: grpc.status.CANCELLED, details: `scan: ${err.message}` }));
  call.on('data', (frame) => {
    if (frame.frame === 'opening' && !message) {
      message = frame.opening;
    } else if (frame.frame === 'chunk' && message) {
      const part = frame.chunk.part;
      chunks.set(part, (chunks.get(part) || []).concat(frame.chunk.data));
    } else {
      answer({ code: grpc.status.INVALID_ARGUMENT, details: 'scan: a frame out of order' });
    }
  });
  call.on('end', async () => {
    if (over) {
      return;
    }
    if (!message) {
      answer({ code: grpc.status.INVALID_ARGUMENT, details: 'scan: there is no opening' });
      return;
    }
    for (const part of message.parts) {
      part.content = () => contentOf(part, chunks);
    }
    try {
      const report = await scanner.scan(message);
      answer(null, { call: message.call, findings: report.findings || [], troubles: report.troubles || [] });
    } catch (err) {
      if (err instanceof Downstream) {
        const trouble = { kind: 'TROUBLE_KIND_DOWNSTREAM', reason: 'downstream', detail: err.message, part: -1 };
        answer(null, { call: message.call, troubles: [trouble] });
        return;
      }
      answer({ code: grpc.status.INTERNAL, details: `scan: ${err.message}` });
    }
  });
}

// contentOf is the body of a part, or null where none was sent.
function contentOf(part, chunks) {
  switch (part.transfer) {
    case 'BODY_TRANSFER_INLINE':
      return part.body;
    case 'BODY_TRANSFER_FILE':
      return fs.readFileSync(part.file);
    case 'BODY_TRANSFER_CHUNKS':
      return Buffer.concat(chunks.get(part.id) || []);
    default:
      return null;
  }
}

module.exports = { serve, log, Downstream };
