-- Times are microseconds since 1970, sizes are bytes, digests and ids are text as people see them.
-- Bytes of blobs and layers live in the file system; a row here is what makes them visible.

CREATE TABLE image (
  id           TEXT PRIMARY KEY,      -- digest of the configuration
  manifest     TEXT NOT NULL,         -- digest of the manifest
  config       BLOB NOT NULL,         -- the configuration, byte for byte as received
  created      INTEGER,
  size         INTEGER NOT NULL,
  os           TEXT NOT NULL,
  architecture TEXT NOT NULL,
  variant      TEXT,
  labels       TEXT NOT NULL,         -- JSON object
  parent       TEXT,                  -- the image this one was made from here
  added        INTEGER NOT NULL,
  last_used    INTEGER NOT NULL
);
CREATE INDEX image_parent ON image (parent) WHERE parent IS NOT NULL;
CREATE INDEX image_manifest ON image (manifest);

CREATE TABLE image_layer (
  image      TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
  position   INTEGER NOT NULL,        -- 0 is the lowest
  diff_id    TEXT NOT NULL,
  blob       TEXT NOT NULL,
  blob_size  INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  size       INTEGER NOT NULL,        -- bytes of file content once unpacked
  PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX image_layer_diff_id ON image_layer (diff_id);
CREATE INDEX image_layer_blob ON image_layer (blob);

CREATE TABLE reference (
  name    TEXT PRIMARY KEY,           -- canonical, with its tag
  image   TEXT NOT NULL REFERENCES image (id),
  updated INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX reference_image ON reference (image);

CREATE TABLE container (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL UNIQUE,
  image      TEXT NOT NULL REFERENCES image (id),
  image_name TEXT NOT NULL,           -- as the user wrote it
  created    INTEGER NOT NULL,
  options    TEXT NOT NULL,           -- JSON object, as `container::create` resolved it
  removing   INTEGER NOT NULL DEFAULT 0,
  owner      TEXT                     -- the lease of the process it ends with
);
CREATE INDEX container_image ON container (image);

CREATE TABLE volume (
  name    TEXT PRIMARY KEY,
  created INTEGER NOT NULL,
  labels  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE container_volume (
  container TEXT NOT NULL REFERENCES container (id) ON DELETE CASCADE,
  volume    TEXT NOT NULL REFERENCES volume (name),
  PRIMARY KEY (container, volume)
) WITHOUT ROWID;
CREATE INDEX container_volume_volume ON container_volume (volume);

-- Content an operation under way relies on; the owner is alive while it holds the lock of the file of that name.
CREATE TABLE lease (
  owner  TEXT NOT NULL,
  digest TEXT NOT NULL,
  PRIMARY KEY (owner, digest)
) WITHOUT ROWID;
CREATE INDEX lease_digest ON lease (digest);
