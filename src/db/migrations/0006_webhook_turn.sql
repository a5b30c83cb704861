DROP INDEX "webhook_delivery_due";--> statement-breakpoint
CREATE INDEX "webhook_delivery_turn" ON "webhook_delivery" USING btree ("webhook_id","due_at") WHERE state in ('PENDING', 'SENDING');--> statement-breakpoint
CREATE INDEX "webhook_delivery_heard" ON "webhook_delivery" USING btree ("webhook_id","state_changed_at") WHERE state in ('DELIVERED', 'DEAD');