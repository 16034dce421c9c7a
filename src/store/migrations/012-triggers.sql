-- What a job waits for beside its schedule.
ALTER TABLE job ADD COLUMN heard INTEGER NOT NULL DEFAULT 0; -- up to when what happened has been seen to; set before a run begins
ALTER TABLE job ADD COLUMN full TEXT;                        -- JSON object: disks that are as full as is waited for, and when that had it run last
UPDATE job SET heard = seen;
ALTER TABLE run ADD COLUMN reason TEXT;                      -- what happened, in words
ALTER TABLE run ADD COLUMN origin INTEGER;                   -- the run that brought it about
