// The Dubbo consumer of npm: prints one JSON line {target, case, ok, detail} per case.
// usage: node consumer.js PACKAGES TARGET:PORT...   (PACKAGES: the folder that holds node_modules)
'use strict';

const { createRequire } = require('module');
const { isDeepStrictEqual } = require('util');

const [packages, ...ways] = process.argv.slice(2);
const load = createRequire(`${packages}/package.json`);
const { DirectlyDubbo } = load('apache-dubbo-js');
const java = load('js-to-java');

const LIMIT_MS = 5000;

function connect(port) {
  const dubbo = DirectlyDubbo.from({
    dubboAddress: `127.0.0.1:${port}`,
    dubboVersion: '2.0.2',
    dubboInvokeTimeout: LIMIT_MS / 1000,
  });
  const person = ({ name, age }) => java('peers.Person', { name, age, tags: null, friend: null });
  const service = (dubboInterface, methods) =>
    dubbo.proxyService({ dubboInterface, version: '0.0.0', timeout: LIMIT_MS, methods });
  return {
    demo: service('peers.Demo', {
      hello: (name) => [java.String(name)],
      older: (who) => [person(who)],
      people: (count) => [java.int(count)],
      nothing: () => [],
      ping: () => [],
      refuse: (reason) => [java.String(reason)],
      crash: () => [],
    }),
    unrouted: service('peers.Unrouted', { reached: () => [] }),
  };
}

function cases(target, { demo, unrouted }) {
  const equal = ({ res, err }, expected) => [!err && isDeepStrictEqual(res, expected), err ? err.message : res];
  const failed = ({ res, err }) => [Boolean(err), err ? firstLine(err.message) : `returned ${JSON.stringify(res)}`];
  return {
    string: async () => equal(await demo.hello('h\u00e9 \u4e16'), 'hello h\u00e9 \u4e16'),
    pojo: async () => equal(await demo.older({ name: 'Ann', age: 41 }), { name: 'Ann', age: 42, tags: null, friend: null }),
    list: async () => {
      const { res, err } = await demo.people(20);
      return [!err && res.length === 20 && res[19].age === -19, err ? err.message : res.length];
    },
    null: async () => equal(await demo.nothing(), null),
    void: async () => equal(await demo.ping(), null),
    exception: async () => failed(await demo.refuse('no')),
    'server error': async () => failed(await demo.crash()),
    concurrent: async () => {
      const names = Array.from({ length: 200 }, (_, i) => `${i}-`.repeat(i % 7));
      const answers = await Promise.all(names.map((name) => demo.hello(name)));
      const wrong = answers.filter(({ res }, i) => res !== `hello ${names[i]}`).length;
      return [wrong === 0, wrong];
    },
    'no route': async () => {
      const began = Date.now();
      const answer = await unrouted.reached();
      if (target === 'direct') return equal(answer, 'reached without a route');
      const [ok, detail] = failed(answer);
      return [ok && Date.now() - began < 1000, detail];
    },
  };
}

function firstLine(text) {
  return String(text).split('\n')[0];
}

function withinLimit(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), LIMIT_MS);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

async function main() {
  for (const way of ways) {
    const [target, port] = way.split(':');
    for (const [name, call] of Object.entries(cases(target, connect(port)))) {
      const [ok, detail] = await withinLimit(call()).catch((error) => [false, firstLine(error.message)]);
      console.log(JSON.stringify({ target, case: name, ok, detail }));
    }
  }
  process.exit(0);
}

main();
