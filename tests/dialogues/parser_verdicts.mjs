// Asks the official parsers about many inputs and writes their verdicts for tests/it/parser_verdicts.rs.
//
//   cd tests/dialogues
//   npm install --no-save socket.io-parser@4.2.7 engine.io-parser@5.2.3
//   node parser_verdicts.mjs > parser_verdicts.json          # the committed file
//   node parser_verdicts.mjs 200000 7 > /tmp/verdicts.json   # more cases, another seed:
//   PARSER_VERDICTS=/tmp/verdicts.json cargo test --test it parser_verdicts
//
// A case of `socket_io` is what one connection sends: texts (without Engine.IO's 4) and arrays of bytes. `packets` is what the
// official decoder made of them, `refused` the index of the message that it refused. `canonical` cases were written by the official
// encoder. A case of `engine_io` is a polling body.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { Encoder, Decoder, PacketType } = require("socket.io-parser");
const { encodePayload, decodePayload } = require("engine.io-parser");

const COUNT = Number(process.argv[2] ?? 900);
let seed = Number(process.argv[3] ?? 1);

// mulberry32: the same cases for the same seed
function random() {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const pick = (list) => list[below(list.length)];
const times = (n, make) => Array.from({ length: n }, make);

const TEXTS = ["", "a", "hello", "é🦀", 'q"\\', "\u0000\u001e\n", "\u2028", "\ud800", "_placeholder", "num", "__proto__", "/", ","];
const NUMBERS = [0, -0, 1, -1, 0.5, 1e21, 1e-7, 9007199254740993, 12345678901234567890, NaN];

function value(depth, binary) {
  if (binary && random() < 0.3) return Buffer.from(times(below(4), () => below(256)));
  switch (below(depth > 0 ? 7 : 5)) {
    case 0: return pick(TEXTS);
    case 1: return pick(NUMBERS);
    case 2: return random() < 0.5;
    case 3: return null;
    case 4: return below(1000);
    case 5: return times(below(4), () => value(depth - 1, binary));
    default: return Object.fromEntries(times(below(4), () => [pick(TEXTS), value(depth - 1, binary)]));
  }
}

// Official servers and clients only check what they decode: names are the application's affair.
function packet() {
  const nsp = pick(["/", "/", "/admin", "/a/b", "/é", "/dyn-1?x=1"]);
  const binary = random() < 0.4;
  const args = () => times(below(4), () => value(2, binary));
  const id = pick([0, 7, 12, 456, Number.MAX_SAFE_INTEGER]);
  switch (below(8)) {
    case 0: return { type: PacketType.CONNECT, nsp, data: pick([undefined, {}, { token: "123" }]) };
    case 1: return { type: PacketType.DISCONNECT, nsp };
    case 2:
    case 3: return { type: PacketType.ACK, nsp, id, data: args() };
    default: {
      const name = pick(["a", "hello", "message", "", "é🦀", 'q"\\', "\u001e", "error", 5, 1.5]);
      return { type: PacketType.EVENT, nsp, id: random() < 0.5 ? id : undefined, data: [name, ...args()] };
    }
  }
}

const PIECES = ["0", "1", "2", "3", "4", "5", "6", "7", "-", "/", ",", "[", "]", "{", "}", '"', "\\", ":", " ", "\t", "e", ".", "+",
  "null", "true", "[]", "{}", '"a"', "/a,", "1-", "50-", "é", "\u001e", "\\u0061", "\\ud800", '{"_placeholder":true,"num":0}',
  '"_placeholder":true,', '"num":1,', '"num":-1', "12", "99999999999999999999", "connect"];

function mutateText(text) {
  const at = below(text.length + 1);
  const to = Math.min(text.length, at + 1 + below(3));
  switch (below(6)) {
    case 0: return text.slice(0, at) + text.slice(to);
    case 1: return text.slice(0, at);
    case 2: return text.slice(0, at) + pick(PIECES) + text.slice(to);
    case 3: return text.slice(0, at) + text.slice(at, to) + text.slice(at);
    case 4: return pick(["0", "1", "2", "3", "4", "5", "6", "51-", "62-1"]) + text.slice(1);
    default: return text.slice(0, at) + pick(PIECES) + text.slice(at);
  }
}

function mutate(messages) {
  const list = [...messages];
  const at = below(list.length);
  switch (below(8)) {
    case 0: list.splice(at, 1); break;
    case 1: list.splice(at, 0, pick(["2[\"a\"]", [1], []])); break;
    case 2: list.push(list[at]); break;
    default:
      for (let n = 1 + below(3); n > 0; n--) {
        if (typeof list[at] === "string") list[at] = mutateText(list[at]);
      }
  }
  return list;
}

// What the design names (protocol 3.1 and 3.3), and what the mutations would rarely find.
const HOLDER = (num) => `{"_placeholder":true,"num":${num}}`;
const WRITTEN = [
  ...["", "7[\"a\"]", "abc", "0[]", "0\"x\"", "0null", "0{bad", "00{}", "0/custom", "0/,", "0/", "0/random,{}", "1", "1{}", "15",
    "1/custom", "2", "212", "2/a", "2{}", "2[]", "2[\"a\"", "2[null]", "2[{}]", "2[[]]", "2[true]", "2[1,2]", "2[-1.50e2]",
    "2[1e999]", "2abc[\"x\"]", "2-1[\"x\"]", "21.5[\"x\"]", "2 [\"x\"]", "21 [\"x\"]", "2\t[\"x\"]", "200[\"x\"]",
    "29007199254740991[\"x\"]", "29007199254740993[\"x\"]", "2111111111111111111111111[\"x\"]", "2/custom[\"a\"]", "2/,[\"a\"]",
    "2[\"a\"] \n", "2[\"a\"]\u00a0", "2\u00a0[\"a\"]", "2[\"a\"]\u001e42[\"b\"]", "2[ \"a\" , 1 ]", "2[\"a\",]", "2[\"a\",01]",
    "2[\"a\",1.]", "2[\"a\",.5]", "2[\"a\",+1]", "2[\"a\",NaN]", "2['a']", "2[\"a\n\"]", "2[\"\\x\"]", "2[\"\\ud800\"]",
    "2[\"a\",\"\\ud800\"]", "2[\"a\",{\"b\":1,\"b\":2}]", "2[\"a\",12345678901234567890,1.0,-0]", "3", "3[]", "312[]", "312", "312{}",
    "3/a,12[1]", "4", "4{\"message\":\"x\"}", "4\"x\"", "4[]", "450-[]",
    "2[\"connect\"]", "2[\"connect_error\"]", "2[\"disconnect\"]", "2[\"disconnecting\"]", "2[\"newListener\"]",
    "2[\"removeListener\"]", "2[\"\\u0063onnect\"]", "2[\"connection\"]", `2["a",${HOLDER(7)}]`,
    `2["a",${"[".repeat(64)}${"]".repeat(64)}]`].map((text) => [text]),
  ...["50-[\"a\"]", "5-[\"a\"]", "5x-[\"a\"]", "501-[\"a\"]", "51.0-[\"a\"]", "50x1-[\"a\"]", "5 1-[\"a\"]", "5+1-[\"a\"]",
    "51e0-[\"a\"]", "511-[\"a\"]", "51-[\"a\"]", "51[\"a\"]", "51", "51-", "51-/a,[\"a\"]", "61-[1]", "61-7[]", "61-7",
    ...["0", "1", "-1", "-0", "0.5", "0.0", "0e0", "\"0\"", "null", "true", "\"splice\""].map((num) => `51-["a",${HOLDER(num)}]`),
    "51-[\"a\",{\"_placeholder\":true}]", "51-[\"a\",{\"num\":0,\"_placeholder\":true,\"x\":1}]",
    "51-[\"a\",{\"_placeholder\":1,\"num\":9}]", "51-[\"a\",{\"_placeholder\":true,\"num\":9,\"num\":0}]",
    "51-[\"a\",{\"_placeholder\":true,\"num\":0,\"num\":9}]", "51-[\"a\",{\"_placeholder\":true,\"_placeholder\":false,\"num\":9}]",
    "51-[\"a\",{\"\\u005fplaceholder\":true,\"n\\u0075m\":9}]", "51-[\"a\",{\"\\u005fplaceholder\":true,\"n\\u0075m\":0}]",
    `51-["a",{"_placeholder":true,"num":0,"x":${HOLDER(9)}}]`, `51-["a",[[{"a":[${HOLDER(0)},${HOLDER(0)}]}]]]`,
    `51-["a",{"__proto__":${HOLDER(0)}}]`, `51-["a",{"__proto__":${HOLDER(1)}}]`,
  ].flatMap((text) => [[text], [text, [1, 2]], [text, []], [text, [1], [2]], [text, "2[\"b\"]"]]),
  [[1]],
  ["2[\"a\"]", [1]],
  ["510-[\"a\"]", ...times(10, () => [1])],
];

function verdict(messages, canonical) {
  const decoder = new Decoder();
  const packets = [];
  let buffers = [];
  decoder.on("decoded", ({ type, nsp, id, data }) => {
    const plain = JSON.stringify(data, function (key, json) {
      const raw = this[key];
      return Buffer.isBuffer(raw) ? { _placeholder: true, num: buffers.indexOf(raw) } : json;
    });
    packets.push({ type, nsp, id, data: plain, attachments: buffers.length });
    buffers = [];
  });
  for (const [index, message] of messages.entries()) {
    try {
      if (typeof message === "string") decoder.add(message);
      else {
        const buffer = Buffer.from(message);
        buffers.push(buffer);
        decoder.add(buffer);
      }
    } catch {
      return { messages, canonical, packets, refused: index };
    }
  }
  return { messages, canonical, packets };
}

function socketIo() {
  const encoder = new Encoder();
  const cases = WRITTEN.map((messages) => verdict(messages));
  while (cases.length < COUNT) {
    const messages = encoder.encode(packet()).map((m) => (typeof m === "string" ? m : [...m]));
    if (messages.length > 11) continue;
    cases.push(verdict(messages, true));
    for (let n = 0; n < 3; n++) cases.push(verdict(mutate(messages)));
  }
  return cases;
}

const BODIES = ["", "4hello", "4test1\u001e4test2\u001e4test3", "4hello\u001ebAQIDBA==", "bAQIDBA", "bAQID\nBA==\n", "b", "b!", "b-_-_", "abc",
  "4a\u001ex\u001e4b", "4a\u001e", "\u001e4a", "0{}", "1", "2", "2probe", "3", "3x", "5", "6", "6\u001e1", "7", "é", " 4"];

function bodyVerdict(body, canonical) {
  const packets = decodePayload(body).map(({ type, data }) =>
    Buffer.isBuffer(data) ? { type, bytes: [...data] } : { type, data });
  const refused = packets.at(-1).type === "error";
  if (refused) packets.pop();
  return { body, canonical, packets, refused };
}

function engineIo() {
  const cases = BODIES.map((body) => bodyVerdict(body));
  const one = () => random() < 0.3
    ? { type: "message", data: Buffer.from(times(below(90), () => below(256))) }
    : { type: pick(["message", "message", "pong", "ping", "close", "upgrade"]), data: pick(["", "a", "2[\"a\"]", "é🦀", "probe", undefined]) };
  while (cases.length < COUNT / 4) {
    encodePayload(times(1 + below(4), one), (body) => {
      cases.push(bodyVerdict(body, true));
      cases.push(bodyVerdict(mutateText(body)));
    });
  }
  return cases;
}

const lines = (cases) => cases.filter((c) => JSON.stringify(c).isWellFormed()
  && (c.body ?? c.messages.join("")).isWellFormed()).map((c) => JSON.stringify(c)).join(",\n");
console.log(`{"socket_io":[\n${lines(socketIo())}\n],"engine_io":[\n${lines(engineIo())}\n]}`);
