// `npm test` compares the reports on calendars with the golden ones; UPDATE=1 writes those anew.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const scanner = require('./scanner.js');

const blocks = new Map([[1, { methods: ['request'], foreign_organizer: false }], [2, { methods: ['REQUEST'], foreign_organizer: true }]]);

function messageOf(from, file) {
  const body = fs.readFileSync(path.join(__dirname, 'testdata', file));
  return {
    queries: [1, 2], header: [{ name: 'From', value: Buffer.from(from) }],
    parts: [{ id: 0, kind: 'attachment', declared_type: 'text/calendar', names: [], content: () => body }],
  };
}

for (const file of fs.readdirSync(path.join(__dirname, 'testdata')).filter((name) => name.endsWith('.ics'))) {
  test(file, () => {
    assert.deepStrictEqual(scanner.configure({}, blocks), []);
    const report = scanner.scan(messageOf('Alice <alice@partner.example>', file));
    const golden = path.join(__dirname, 'testdata', file.replace('.ics', '.golden.json'));
    if (process.env.UPDATE) {
      fs.writeFileSync(golden, JSON.stringify(report, null, 2) + '\n');
    }
    assert.deepStrictEqual(report, JSON.parse(fs.readFileSync(golden, 'utf8')));
  });
}

test('a scan block without methods is told', () => {
  const problems = scanner.configure({}, new Map([[3, { methods: [], foreign_organizer: false }]]));
  assert.deepStrictEqual(problems.map((p) => p.path), [['scan', 3, 'methods']]);
});
