// Reads iCalendar (RFC 5545): text goes in, its invitations come out. What is not iCalendar has none.
'use strict';

// linesOf unfolds the content lines (section 3.1).
function linesOf(text) {
  return text.replace(/\r?\n[ \t]/g, '').split(/\r?\n/);
}

// property takes NAME;PARAMETER=VALUE:VALUE apart; null where it is none.
function property(line) {
  const match = /^([A-Za-z0-9-]+)((?:;[A-Za-z0-9-]+=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)*):(.*)$/.exec(line);
  return match && { name: match[1].toUpperCase(), value: match[3] };
}

// unescape reads a TEXT value (section 3.3.11).
function unescape(text) {
  return text.replace(/\\(.)/g, (_, c) => (c === 'n' || c === 'N' ? '\n' : c));
}

// address is that of a CAL-ADDRESS, lower case, or ''.
function address(value) {
  const match = /^mailto:(.+)$/i.exec(value.trim());
  return match ? match[1].toLowerCase() : '';
}

// invitations returns { method, summary, organizer } for every event of the calendar.
function invitations(text) {
  const out = [];
  let method = '';
  let event = null;
  let depth = 0; // of components in an event, such as alarms, whose properties are not the event's
  for (const line of linesOf(text)) {
    const p = property(line);
    if (!p) {
      continue;
    }
    const component = p.value.trim().toUpperCase();
    if (p.name === 'BEGIN') {
      if (event) {
        depth++;
      } else if (component === 'VEVENT') {
        event = { summary: '', organizer: '' };
      }
    } else if (p.name === 'END' && event) {
      if (depth > 0) {
        depth--;
      } else {
        out.push(event);
        event = null;
      }
    } else if (p.name === 'METHOD' && !event) {
      method = component;
    } else if (event && depth === 0 && p.name === 'SUMMARY') {
      event.summary = unescape(p.value);
    } else if (event && depth === 0 && p.name === 'ORGANIZER') {
      event.organizer = address(p.value);
    }
  }
  return out.map((e) => ({ method, ...e })); // METHOD may stand anywhere in the calendar
}

module.exports = { invitations };
