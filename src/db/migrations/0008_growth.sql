-- Large logs wait for this: each index takes some seconds for each million rows, and until all are there nobody writes to these tables.
-- Readers go on, which is why the new ones come first and take the names of the old ones at the end.
SET LOCAL maintenance_work_mem = '256MB';--> statement-breakpoint
CREATE UNIQUE INDEX "event_position_8" ON "event" USING btree ("position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "event_subject_8" ON "event" USING btree ("subject_id","position");--> statement-breakpoint
CREATE INDEX "event_team_8" ON "event" USING btree ("team_id","position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "event_kind" ON "event" USING btree ("team_id","kind","position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "event_subject_type" ON "event" USING btree ("team_id","subject_type","position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "event_actor" ON "event" USING btree ("team_id","actor_id","position") WHERE position is not null;--> statement-breakpoint
CREATE INDEX "operation_ended" ON "operation" USING btree ("state_changed_at") WHERE state in ('SUCCEEDED', 'FAILED', 'SUPERSEDED', 'CANCELLED');--> statement-breakpoint
CREATE INDEX "deployment_live_list" ON "deployment" USING btree ("team_id","created_at","id") WHERE state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED');--> statement-breakpoint
-- By default a table is vacuumed when a fifth of it has changed, of five million rows a million: so much would be left in the indexes of
-- what waits, which loops search every second. And the new version of a row has room beside the old one.
ALTER TABLE "event" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);--> statement-breakpoint
ALTER TABLE "operation" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, fillfactor = 85);--> statement-breakpoint
ALTER TABLE "deployment" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, fillfactor = 90);--> statement-breakpoint
ALTER TABLE "instance" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);--> statement-breakpoint
ALTER TABLE "webhook_delivery" SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);--> statement-breakpoint
DROP INDEX "event_position";--> statement-breakpoint
DROP INDEX "event_subject";--> statement-breakpoint
DROP INDEX "event_team";--> statement-breakpoint
ALTER INDEX "event_position_8" RENAME TO "event_position";--> statement-breakpoint
ALTER INDEX "event_subject_8" RENAME TO "event_subject";--> statement-breakpoint
ALTER INDEX "event_team_8" RENAME TO "event_team";
