-- What layers that are kept plain became when they were compressed for a registry, so that one which has that is not sent it, nor is it
-- made again to learn its digest. It can be lost without harm.
CREATE TABLE packed (
  diff_id     TEXT NOT NULL,
  compression TEXT NOT NULL,
  digest      TEXT NOT NULL,
  size        INTEGER NOT NULL,
  media_type  TEXT NOT NULL,
  PRIMARY KEY (diff_id, compression)
) WITHOUT ROWID;
