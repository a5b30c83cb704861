CREATE TABLE "event_horizon" (
	"one" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"trimmed_through" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "event_horizon_one" CHECK (one)
);
--> statement-breakpoint
CREATE TABLE "instance" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"environment" text NOT NULL,
	"name" text NOT NULL,
	"runtime" text NOT NULL,
	"subject_type" text,
	"subject_id" text,
	"service" text,
	"incarnation" text,
	"instance_id" text,
	"url" text,
	"started_at" timestamp (6) with time zone,
	"asked_at" timestamp (6) with time zone,
	"checked_at" timestamp (6) with time zone,
	"heartbeat_at" timestamp (6) with time zone,
	"heartbeat_seconds" integer,
	"failed_checks" integer DEFAULT 0 NOT NULL,
	"restarts" integer DEFAULT 0 NOT NULL,
	"recent_restarts" integer DEFAULT 0 NOT NULL,
	"restart_due_at" timestamp (6) with time zone,
	CONSTRAINT "instance_state" CHECK (state in ('STARTING', 'ONLINE', 'DEGRADED', 'OFFLINE', 'REMOVED')),
	CONSTRAINT "instance_runtime" CHECK (runtime in ('PROCESS', 'DOCKER', 'EXTERNAL')),
	CONSTRAINT "instance_workload" CHECK (("instance"."runtime" = 'EXTERNAL') = ("instance"."incarnation" is null)),
	CONSTRAINT "instance_subject" CHECK (("instance"."subject_type" is null) = ("instance"."subject_id" is null))
);
--> statement-breakpoint
CREATE TABLE "orphan" (
	"driver" text NOT NULL,
	"subject_id" text NOT NULL,
	"incarnation" text NOT NULL,
	"generation" integer NOT NULL,
	"first_seen_at" timestamp (6) with time zone NOT NULL,
	"last_seen_at" timestamp (6) with time zone NOT NULL,
	"claimed_until" timestamp (6) with time zone,
	"outcome" text,
	CONSTRAINT "orphan_driver_subject_id_incarnation_pk" PRIMARY KEY("driver","subject_id","incarnation")
);
--> statement-breakpoint
CREATE TABLE "webhook" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"url" text NOT NULL,
	"filter" jsonb NOT NULL,
	"secret" text,
	"previous_secret" text,
	"secret_changed_at" timestamp (6) with time zone NOT NULL,
	"cursor" bigint NOT NULL,
	CONSTRAINT "webhook_state" CHECK (state in ('ACTIVE', 'DISABLED', 'DELETED')),
	CONSTRAINT "webhook_erased" CHECK (state in ('ACTIVE', 'DISABLED') or (secret is null and previous_secret is null))
);
--> statement-breakpoint
CREATE TABLE "webhook_delivery" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"webhook_id" text NOT NULL,
	"position" bigint NOT NULL,
	"subject_id" text NOT NULL,
	"message_id" text NOT NULL,
	"redelivery_of" text,
	"attempt" integer DEFAULT 0 NOT NULL,
	"due_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"claim_token" text,
	"status" integer,
	"outcome" text,
	"delivered_at" timestamp (6) with time zone,
	CONSTRAINT "webhook_delivery_state" CHECK (state in ('PENDING', 'SENDING', 'DELIVERED', 'DEAD', 'DROPPED'))
);
--> statement-breakpoint
ALTER TABLE "instance" ADD CONSTRAINT "instance_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook" ADD CONSTRAINT "webhook_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD CONSTRAINT "webhook_delivery_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD CONSTRAINT "webhook_delivery_webhook_id_webhook_id_fk" FOREIGN KEY ("webhook_id") REFERENCES "public"."webhook"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "instance_external_id" ON "instance" USING btree ("team_id","instance_id") WHERE runtime = 'EXTERNAL';--> statement-breakpoint
CREATE UNIQUE INDEX "instance_unit" ON "instance" USING btree ("subject_id",coalesce("service", ''),"generation") WHERE runtime <> 'EXTERNAL';--> statement-breakpoint
CREATE INDEX "instance_list" ON "instance" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "instance_subject_list" ON "instance" USING btree ("subject_id","created_at","id");--> statement-breakpoint
CREATE INDEX "instance_ask" ON "instance" USING btree ("asked_at" NULLS FIRST) WHERE runtime <> 'EXTERNAL' and state in ('STARTING', 'ONLINE', 'DEGRADED');--> statement-breakpoint
CREATE INDEX "instance_heartbeat" ON "instance" USING btree ("heartbeat_at") WHERE runtime = 'EXTERNAL' and state in ('STARTING', 'ONLINE', 'DEGRADED', 'OFFLINE');--> statement-breakpoint
CREATE INDEX "instance_restart" ON "instance" USING btree ("restart_due_at") WHERE state in ('OFFLINE');--> statement-breakpoint
CREATE INDEX "instance_passing" ON "instance" USING btree ("state","state_changed_at") WHERE state in ('STARTING');--> statement-breakpoint
CREATE INDEX "instance_removed" ON "instance" USING btree ("state_changed_at") WHERE state in ('REMOVED');--> statement-breakpoint
CREATE INDEX "webhook_list" ON "webhook" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "webhook_fan_out" ON "webhook" USING btree ("cursor") WHERE state in ('ACTIVE');--> statement-breakpoint
CREATE UNIQUE INDEX "webhook_delivery_once" ON "webhook_delivery" USING btree ("webhook_id","position") WHERE redelivery_of is null;--> statement-breakpoint
CREATE INDEX "webhook_delivery_due" ON "webhook_delivery" USING btree ("due_at") WHERE state in ('PENDING', 'SENDING');--> statement-breakpoint
CREATE INDEX "webhook_delivery_order" ON "webhook_delivery" USING btree ("webhook_id","subject_id","position") WHERE state in ('PENDING', 'SENDING');--> statement-breakpoint
CREATE INDEX "webhook_delivery_list" ON "webhook_delivery" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "webhook_delivery_of" ON "webhook_delivery" USING btree ("webhook_id","created_at","id");--> statement-breakpoint
CREATE INDEX "webhook_delivery_passing" ON "webhook_delivery" USING btree ("state","state_changed_at") WHERE state in ('PENDING', 'SENDING');--> statement-breakpoint
CREATE INDEX "webhook_delivery_ended" ON "webhook_delivery" USING btree ("state_changed_at") WHERE state in ('DELIVERED', 'DEAD', 'DROPPED');--> statement-breakpoint
INSERT INTO "event_horizon" ("trimmed_through") VALUES (0);--> statement-breakpoint
-- A team that is being deleted, or was, has room for nothing.
INSERT INTO "plan_usage" ("team_id", "kind", "used", "cap")
	SELECT t."id", c.kind, 0, CASE WHEN t."state" IN ('DELETING', 'DELETED') THEN 0 ELSE c.cap END
	FROM "team" t, (VALUES ('instances', 1000), ('webhooks', 20)) AS c(kind, cap);--> statement-breakpoint
-- What runs already gets its instance; reconcile-instances asks about that run and marks it ONLINE.
INSERT INTO "instance" ("id", "state", "generation", "team_id", "environment", "name", "runtime", "subject_type", "subject_id", "incarnation", "instance_id", "url")
	SELECT 'ins_' || substr("id", 5), 'STARTING', "generation", "team_id", "environment", "name", 'PROCESS', 'Deployment', "id", "incarnation", "instance_id", "url"
	FROM "deployment" WHERE "state" = 'HEALTHY' AND "instance_id" IS NOT NULL;--> statement-breakpoint
INSERT INTO "instance" ("id", "state", "generation", "team_id", "environment", "name", "runtime", "subject_type", "subject_id", "service", "incarnation", "instance_id", "url")
	SELECT 'ins_0' || substr(md5(s."id" || p.key), 1, 25), 'STARTING', s."generation", s."team_id", s."environment", s."name" || '-' || p.key, 'PROCESS', 'Stack', s."id", p.key,
		s."incarnation" || '-' || p.key, p.value ->> 'instanceId', p.value ->> 'url'
	FROM "stack" s, jsonb_each(s."placed") p WHERE s."state" IN ('HEALTHY', 'FAILED') AND p.value ->> 'instanceId' IS NOT NULL;--> statement-breakpoint
INSERT INTO "event" ("occurred_at", "team_id", "subject_type", "subject_id", "kind", "to_state", "generation", "version", "actor_kind", "actor_id", "request_id", "transition_id")
	SELECT clock_timestamp(), "team_id", 'Instance', "id", 'registerInstance', "state", "generation", 1, 'system', 'migrate', 'migrate', gen_random_uuid()::text FROM "instance";
