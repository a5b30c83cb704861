-- Each run is asked about once a minute, and the answer noted. With room in its page a note is a heap-only update, which leaves the indexes alone.
ALTER TABLE "instance" SET (fillfactor = 70);
