-- Suspicious objects. A list shows the rows that began by its generation and have not ended by it; a change is written beside them and
-- shown by raising the generation, so that a list of any length is replaced in one small step.
CREATE TABLE object_lists (
	name TEXT PRIMARY KEY,
	generation BIGINT NOT NULL,
	staging TEXT NOT NULL,
	objects BIGINT NOT NULL,
	skipped BIGINT NOT NULL,
	synced BIGINT NOT NULL,
	tried BIGINT NOT NULL,
	error TEXT NOT NULL,
	place TEXT NOT NULL,
	accept BIGINT NOT NULL
);

CREATE TABLE objects (
	list TEXT NOT NULL,
	key {blob} NOT NULL,
	since BIGINT NOT NULL,
	until BIGINT NOT NULL,
	type TEXT NOT NULL,
	value TEXT NOT NULL,
	action BIGINT NOT NULL,
	exception BIGINT NOT NULL,
	expires BIGINT NOT NULL,
	note TEXT NOT NULL,
	added BIGINT NOT NULL,
	actor TEXT NOT NULL,
	PRIMARY KEY (list, key, since)
){clustered};
CREATE INDEX objects_ended ON objects (list, until) WHERE until <> 0;
