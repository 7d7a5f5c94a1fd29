CREATE TABLE messages (
	id TEXT PRIMARY KEY,
	received BIGINT NOT NULL,
	sender TEXT NOT NULL,
	sender_key TEXT NOT NULL,
	subject TEXT NOT NULL,
	subject_key TEXT NOT NULL,
	header_id TEXT NOT NULL,
	size BIGINT NOT NULL,
	body_sha256 TEXT NOT NULL,
	message {blob} NOT NULL,
	facts {blob},
	decision {blob},
	waivers {blob}
);
CREATE INDEX messages_received ON messages (received);
CREATE INDEX messages_header_id ON messages (header_id);
CREATE INDEX messages_body ON messages (body_sha256);

CREATE TABLE copies (
	id TEXT PRIMARY KEY,
	message_id TEXT NOT NULL,
	received BIGINT NOT NULL,
	size BIGINT NOT NULL,
	recipients {blob} NOT NULL,
	state TEXT NOT NULL,
	area TEXT NOT NULL,
	due_at BIGINT NOT NULL,
	fate {blob} NOT NULL,
	result TEXT NOT NULL,
	first_wait BIGINT NOT NULL,
	deadline BIGINT NOT NULL,
	attempts BIGINT NOT NULL,
	body_sha256 TEXT NOT NULL,
	version BIGINT NOT NULL,
	changed BIGINT NOT NULL
);
CREATE INDEX copies_message ON copies (message_id);
CREATE INDEX copies_due ON copies (state, due_at);
CREATE INDEX copies_received ON copies (received, id);
CREATE INDEX copies_changed ON copies (state, changed);
CREATE INDEX copies_body ON copies (body_sha256) WHERE body_sha256 <> '';

CREATE TABLE copy_terms (
	owner TEXT NOT NULL,
	field TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (owner, field, value)
);
CREATE INDEX copy_terms_value ON copy_terms (field, value);

CREATE TABLE bodies (
	sha256 TEXT PRIMARY KEY,
	size BIGINT NOT NULL,
	content {blob}
);
CREATE TABLE body_chunks (
	sha256 TEXT NOT NULL REFERENCES bodies (sha256) ON DELETE CASCADE,
	number BIGINT NOT NULL,
	content {blob} NOT NULL,
	PRIMARY KEY (sha256, number)
);

CREATE TABLE obligations (
	id {serial},
	copy_id TEXT NOT NULL,
	message_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	rule TEXT NOT NULL,
	action TEXT NOT NULL,
	recipient TEXT NOT NULL,
	sender TEXT NOT NULL,
	hop TEXT NOT NULL,
	body_sha256 TEXT NOT NULL,
	state TEXT NOT NULL,
	attempts BIGINT NOT NULL,
	next_at BIGINT NOT NULL,
	give_up_at BIGINT NOT NULL,
	last_reply TEXT NOT NULL,
	created BIGINT NOT NULL,
	version BIGINT NOT NULL,
	UNIQUE (copy_id, kind, rule, action, recipient)
);
CREATE INDEX obligations_due ON obligations (created, id) WHERE state = 'due';
CREATE INDEX obligations_message ON obligations (message_id);
CREATE INDEX obligations_body ON obligations (body_sha256) WHERE body_sha256 <> '';

CREATE TABLE events (
	id TEXT PRIMARY KEY,
	at BIGINT NOT NULL,
	subtype TEXT NOT NULL,
	sender_key TEXT NOT NULL,
	subject_key TEXT NOT NULL,
	event {blob} NOT NULL
);
CREATE INDEX events_at ON events (at, id);
CREATE TABLE event_terms (
	owner TEXT NOT NULL,
	field TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (owner, field, value)
);
CREATE INDEX event_terms_value ON event_terms (field, value);

CREATE TABLE tracks (
	id TEXT PRIMARY KEY,
	at BIGINT NOT NULL,
	sender_key TEXT NOT NULL,
	subject_key TEXT NOT NULL,
	track {blob} NOT NULL
);
CREATE INDEX tracks_at ON tracks (at, id);
CREATE TABLE track_terms (
	owner TEXT NOT NULL,
	field TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (owner, field, value)
);
CREATE INDEX track_terms_value ON track_terms (field, value);

CREATE TABLE samples (
	copy_id TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	kind TEXT NOT NULL,
	extension TEXT NOT NULL,
	message_id TEXT NOT NULL,
	since BIGINT NOT NULL,
	asked_before BIGINT NOT NULL,
	sample {blob} NOT NULL,
	PRIMARY KEY (copy_id, sha256, kind, extension)
);
CREATE INDEX samples_key ON samples (sha256, kind, extension);

CREATE TABLE submissions (
	sha256 TEXT NOT NULL,
	kind TEXT NOT NULL,
	extension TEXT NOT NULL,
	sha1 TEXT NOT NULL,
	analyzer TEXT NOT NULL,
	server TEXT NOT NULL,
	remote TEXT NOT NULL,
	state TEXT NOT NULL,
	asked BIGINT NOT NULL,
	attempts BIGINT NOT NULL,
	next_at BIGINT NOT NULL,
	created BIGINT NOT NULL,
	verdict {blob},
	expires BIGINT NOT NULL,
	version BIGINT NOT NULL,
	PRIMARY KEY (sha256, kind, extension)
);
CREATE INDEX submissions_due ON submissions (state, next_at) WHERE state <> 'done';

CREATE TABLE audits (
	id {serial},
	at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	act TEXT NOT NULL,
	object TEXT NOT NULL,
	detail TEXT NOT NULL
);

CREATE TABLE settings (
	name TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- Who works on jobs, and when it was last seen.
CREATE TABLE gateways (
	node TEXT PRIMARY KEY,
	seen BIGINT NOT NULL
);
