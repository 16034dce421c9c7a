-- What the repositories of a registry hold beside the images of the same names: what was pushed, byte for byte, of whatever kind.
CREATE TABLE registry_manifest (
  repository    TEXT NOT NULL,         -- registry and path
  digest        TEXT NOT NULL,
  media_type    TEXT NOT NULL,
  size          INTEGER NOT NULL,
  subject       TEXT,                  -- the manifest it refers to
  artifact_type TEXT,
  annotations   TEXT,                  -- JSON object
  image         TEXT,                  -- the image that it is here, or that it leads to: it goes with that
  added         INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX registry_manifest_digest ON registry_manifest (digest);
CREATE INDEX registry_manifest_subject ON registry_manifest (repository, subject) WHERE subject IS NOT NULL;
CREATE INDEX registry_manifest_image ON registry_manifest (image) WHERE image IS NOT NULL;

-- What a manifest names and its repository had when it was pushed. A name alone gives nothing: it would open other repositories' blobs.
CREATE TABLE registry_part (
  repository TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  digest     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  is_blob    INTEGER NOT NULL,         -- 0: a manifest of an index
  PRIMARY KEY (repository, manifest, digest),
  FOREIGN KEY (repository, manifest) REFERENCES registry_manifest (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX registry_part_digest ON registry_part (digest, repository);

-- Blobs that came into a repository and that no manifest of it names yet.
CREATE TABLE registry_blob (
  repository TEXT NOT NULL,
  digest     TEXT NOT NULL,
  size       INTEGER NOT NULL,
  added      INTEGER NOT NULL,
  PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX registry_blob_digest ON registry_blob (digest);

-- Tags that stand for what was pushed. A name that is set or taken away here ends the one of the same words.
CREATE TABLE registry_tag (
  name       TEXT PRIMARY KEY,         -- as in `reference`
  repository TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  FOREIGN KEY (repository, manifest) REFERENCES registry_manifest (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX registry_tag_manifest ON registry_tag (repository, manifest);
