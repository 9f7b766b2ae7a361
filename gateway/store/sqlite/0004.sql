-- Version 4: a text that does not fit may go out in parts.

ALTER TABLE delivery ADD COLUMN parts TEXT;            -- JSON [split, of, [taken], [doubted]]; NULL: one page
