-- What a registry that stands before another keeps of it. Nobody here named it or pushed it, and it can be had again from there.
CREATE TABLE cached_manifest (
  repository TEXT NOT NULL,            -- registry and path, as the other registry has it
  digest     TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size       INTEGER NOT NULL,
  used       INTEGER NOT NULL,         -- when a client wanted it last, give or take an hour
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX cached_manifest_digest ON cached_manifest (digest);

-- The blobs a manifest names, whether or not they are here.
CREATE TABLE cached_part (
  repository TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  digest     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  PRIMARY KEY (repository, manifest, digest),
  FOREIGN KEY (repository, manifest) REFERENCES cached_manifest (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX cached_part_digest ON cached_part (repository, digest);

-- The blobs that are here, by the repository that is known to have them.
CREATE TABLE cached_blob (
  repository TEXT NOT NULL,
  digest     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  used       INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX cached_blob_digest ON cached_blob (digest);

-- What tags stood for when the other registry was asked last.
CREATE TABLE cached_tag (
  name       TEXT PRIMARY KEY,         -- as in `reference`
  repository TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  FOREIGN KEY (repository, manifest) REFERENCES cached_manifest (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX cached_tag_manifest ON cached_tag (repository, manifest);
