-- What the runs of a job came to by how they ended, those that are not kept any more as well.
CREATE TABLE run_total (
  job       TEXT NOT NULL REFERENCES job (name) ON DELETE CASCADE,
  outcome   TEXT NOT NULL,
  count     INTEGER NOT NULL,          -- how many times they stand for
  micros    INTEGER NOT NULL,          -- how long they took together
  reclaimed INTEGER NOT NULL,          -- bytes that they gave back together
  started   INTEGER NOT NULL,          -- when the last of them began
  ended     INTEGER NOT NULL,          -- when it ended
  PRIMARY KEY (job, outcome)
) WITHOUT ROWID;
INSERT INTO run_total SELECT job, outcome, sum(count), sum(ended - started), sum(coalesce(json_extract(effects, '$.reclaimed'), 0)),
  max(started), max(ended) FROM run WHERE outcome IS NOT NULL AND ended IS NOT NULL GROUP BY job, outcome;
