-- Scripts that run by themselves. What they are to do, and when, is in the header of the file.
CREATE TABLE job (
  name    TEXT PRIMARY KEY,
  file    TEXT NOT NULL,               -- the script, an absolute path
  args    TEXT,                        -- JSON array; NULL for what the header says
  enabled INTEGER NOT NULL,
  added   INTEGER NOT NULL,
  seen    INTEGER NOT NULL             -- the last time of its schedule that has been seen to; set before a run begins
) WITHOUT ROWID;

-- What became of each time, and of what was asked for.
CREATE TABLE run (
  id        INTEGER PRIMARY KEY AUTOINCREMENT, -- none is given twice: logs and labels of containers have it
  job       TEXT NOT NULL REFERENCES job (name) ON DELETE CASCADE,
  cause     TEXT NOT NULL,             -- why it began: schedule, catch_up, manual, an event
  scheduled INTEGER,                   -- the time of the schedule, if it is of one; of several the first
  until     INTEGER,                   -- the last of several that were missed or left out
  count     INTEGER NOT NULL,          -- how many times it stands for
  started   INTEGER NOT NULL,          -- of one that never began: when that was noted
  ended     INTEGER,
  outcome   TEXT,                      -- NULL while it goes on, or was when its process died
  code      INTEGER,                   -- the exit code
  attempts  INTEGER NOT NULL,
  error     TEXT,                      -- JSON object: kind, message, file, line, column
  effects   TEXT                       -- JSON object
);
CREATE INDEX run_job ON run (job, id);
CREATE INDEX run_open ON run (job) WHERE outcome IS NULL;
