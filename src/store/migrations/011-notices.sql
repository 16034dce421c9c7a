-- Whom of those the job's header names a run was told to: JSON array of objects with to and, where that failed, error.
ALTER TABLE run ADD COLUMN notices TEXT;
