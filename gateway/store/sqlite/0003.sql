-- Version 3: incidents are found by their client's own name also after their end, and can be muted.

ALTER TABLE incident ADD COLUMN muted_until INTEGER;   -- no further leg is opened before; NULL: not muted
CREATE INDEX incident_key ON incident (dedup) WHERE dedup IS NOT NULL;
