-- Acts that took images and names away and can be undone until a time.
CREATE TABLE trash (
  id      INTEGER PRIMARY KEY AUTOINCREMENT, -- none is given twice: whoever says `undo 7` means that one
  action  TEXT NOT NULL,               -- the function that was called
  removed INTEGER NOT NULL,
  until   INTEGER NOT NULL
);
-- One row: the act under way in the transaction that has the database, if what it takes away is to be kept.
CREATE TABLE trash_open (act INTEGER);
INSERT INTO trash_open VALUES (NULL);
-- The rows an act took away, in the order in which they went.
CREATE TABLE trash_row (
  number INTEGER PRIMARY KEY,
  act    INTEGER NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  source TEXT NOT NULL,                -- the table it was in
  old    TEXT NOT NULL                 -- JSON object: its columns; of a name also `after`, the image it was moved to
);
CREATE INDEX trash_row_act ON trash_row (act, source);
-- The content that they need.
CREATE TABLE trash_content (
  act    INTEGER NOT NULL REFERENCES trash (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  PRIMARY KEY (act, digest)
) WITHOUT ROWID;
CREATE INDEX trash_content_digest ON trash_content (digest);

CREATE TRIGGER trash_image AFTER DELETE ON image WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'image', json_object('id', OLD.id, 'manifest', OLD.manifest,
    'config', hex(OLD.config), 'created', OLD.created, 'size', OLD.size, 'os', OLD.os, 'architecture', OLD.architecture,
    'variant', OLD.variant, 'labels', OLD.labels, 'parent', OLD.parent, 'added', OLD.added, 'last_used', OLD.last_used)
    FROM trash_open;
  INSERT OR IGNORE INTO trash_content SELECT act, OLD.id FROM trash_open UNION SELECT act, OLD.manifest FROM trash_open;
END;
CREATE TRIGGER trash_image_layer AFTER DELETE ON image_layer WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'image_layer', json_object('image', OLD.image, 'position', OLD.position,
    'diff_id', OLD.diff_id, 'blob', OLD.blob, 'blob_size', OLD.blob_size, 'media_type', OLD.media_type, 'size', OLD.size)
    FROM trash_open;
  INSERT OR IGNORE INTO trash_content SELECT act, OLD.diff_id FROM trash_open UNION SELECT act, OLD.blob FROM trash_open;
END;
CREATE TRIGGER trash_reference AFTER DELETE ON reference WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'reference', json_object('name', OLD.name, 'image', OLD.image,
    'updated', OLD.updated) FROM trash_open;
END;
CREATE TRIGGER trash_moved_reference AFTER UPDATE ON reference
WHEN OLD.image <> NEW.image AND (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'reference', json_object('name', OLD.name, 'image', OLD.image,
    'updated', OLD.updated, 'after', NEW.image) FROM trash_open;
END;
CREATE TRIGGER trash_source AFTER DELETE ON source WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'source', json_object('digest', OLD.digest, 'image', OLD.image)
    FROM trash_open;
END;
CREATE TRIGGER trash_registry_manifest AFTER DELETE ON registry_manifest
WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'registry_manifest', json_object('repository', OLD.repository,
    'digest', OLD.digest, 'media_type', OLD.media_type, 'size', OLD.size, 'subject', OLD.subject,
    'artifact_type', OLD.artifact_type, 'annotations', OLD.annotations, 'image', OLD.image, 'added', OLD.added)
    FROM trash_open;
  INSERT OR IGNORE INTO trash_content SELECT act, OLD.digest FROM trash_open;
END;
CREATE TRIGGER trash_registry_part AFTER DELETE ON registry_part WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'registry_part', json_object('repository', OLD.repository,
    'manifest', OLD.manifest, 'digest', OLD.digest, 'size', OLD.size, 'is_blob', OLD.is_blob) FROM trash_open;
  INSERT OR IGNORE INTO trash_content SELECT act, OLD.digest FROM trash_open WHERE OLD.is_blob;
END;
CREATE TRIGGER trash_registry_tag AFTER DELETE ON registry_tag WHEN (SELECT act FROM trash_open) IS NOT NULL BEGIN
  INSERT INTO trash_row (act, source, old) SELECT act, 'registry_tag', json_object('name', OLD.name,
    'repository', OLD.repository, 'manifest', OLD.manifest) FROM trash_open;
END;
