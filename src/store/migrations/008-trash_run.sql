-- Which acts belong together: one command, script or line at the prompt did them.
CREATE TABLE trash_run (
  act INTEGER PRIMARY KEY REFERENCES trash (id) ON DELETE CASCADE,
  run TEXT NOT NULL
);
