// A scanner for Postern that finds invitations to meetings, and those that come in the name of somebody else: calendars take many of them
// in without a question, which is how they are abused.
'use strict';

const { invitations } = require('./calendar.js');

let queries = new Map(); // scan blocks by their number

function configure(config, blocks) {
  queries = new Map([...blocks].map(([number, block]) => [number, { ...block, methods: block.methods.map((m) => m.toUpperCase()) }]));
  return [...queries].filter(([, block]) => block.methods.length === 0).map(([number]) => ({
    path: ['scan', number, 'methods'], summary: 'No methods to look for', detail: 'Leave it out for requests, or give methods = ["REQUEST", "CANCEL"].',
  }));
}

// domainOf is the lower-case domain of the address in a header's field, or ''.
function domainOf(field) {
  const match = /@([A-Za-z0-9.-]+)\s*>?\s*$/.exec(field);
  return match ? match[1].toLowerCase() : '';
}

// related reports whether two domains are the same, or one is below the other.
function related(a, b) {
  return a === b || a.endsWith(`.${b}`) || b.endsWith(`.${a}`);
}

function isCalendar(part) {
  return part.declared_type === 'text/calendar' || part.declared_type === 'application/ics' || part.names.some((name) => /\.(ics|ifb|vcs)$/i.test(name));
}

function scan(message) {
  const from = message.header.find((field) => field.name.toLowerCase() === 'from');
  const author = from ? domainOf(from.value.toString('latin1')) : '';
  const findings = [];
  for (const part of message.parts) {
    const content = isCalendar(part) ? part.content() : null;
    if (!content) {
      continue;
    }
    for (const invitation of invitations(content.toString('utf8'))) {
      const organizer = domainOf(invitation.organizer);
      const foreign = !organizer || !author || !related(organizer, author);
      for (const number of message.queries) {
        const query = queries.get(number);
        if (query && query.methods.includes(invitation.method) && (foreign || !query.foreign_organizer)) {
          findings.push({
            query: number, kind: 'invitation', certainty: 'CERTAINTY_SURE', name: invitation.summary.slice(0, 200) || 'invitation', part: part.id,
            evidence: `${invitation.method} by ${invitation.organizer || 'nobody'}, mail from ${author || 'nobody'}`,
          });
        }
      }
    }
  }
  return { findings: findings.slice(0, 256) };
}

module.exports = {
  name: 'invites',
  version: '1.0.0',
  summary: 'Finds invitations to meetings (iCalendar), and those in the name of somebody else.',
  query: {
    attributes: [
      { name: 'methods', summary: 'what the calendar asks for: REQUEST, CANCEL, PUBLISH, REPLY', type: 'TYPE_STRINGS', default_json: '["REQUEST"]' },
      { name: 'foreign_organizer', summary: 'only where the organizer is of another domain than the author', type: 'TYPE_BOOL', default_json: 'false' },
    ],
  },
  inputs: { header: true, parts: true, bodies: 'BODIES_ALL', max_body_bytes: 1 << 20, needs_any: ['NEED_BODY'] },
  configure,
  scan,
};
