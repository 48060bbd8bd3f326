-- The moment of high_water_ms on the clock that counts from boot: after a restart of the coordinator alone, it tells how
-- long that was ago, whatever became of the wall clock.
ALTER TABLE meta ADD COLUMN boot_id TEXT;    -- /proc/sys/kernel/random/boot_id
ALTER TABLE meta ADD COLUMN boot_ms INTEGER; -- since that boot
