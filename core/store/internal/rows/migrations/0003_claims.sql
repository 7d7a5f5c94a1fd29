-- Who has claimed a row, so that what a gateway that is gone had claimed is due again before the claim runs out.
ALTER TABLE copies ADD COLUMN claimed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE submissions ADD COLUMN claimed_by TEXT NOT NULL DEFAULT '';
CREATE INDEX copies_claimed ON copies (claimed_by) WHERE claimed_by <> '';
CREATE INDEX submissions_claimed ON submissions (claimed_by) WHERE claimed_by <> '';
