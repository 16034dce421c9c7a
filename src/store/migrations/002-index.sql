-- One row: whether a name changed since `content/index.json` was written. Whoever finds it so writes the file.
CREATE TABLE layout_index (stale INTEGER NOT NULL);
INSERT INTO layout_index VALUES (1);
