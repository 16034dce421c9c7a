-- What registries have for an image under other digests than its manifest's here, such as an index it was chosen from: an image that is
-- here is known by it. It can be lost without harm.
CREATE TABLE source (
  digest TEXT NOT NULL,
  image  TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
  PRIMARY KEY (digest, image)
) WITHOUT ROWID;
CREATE INDEX source_image ON source (image);
