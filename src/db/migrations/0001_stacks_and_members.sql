CREATE TABLE "invitation" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"email" text NOT NULL,
	"role" text NOT NULL,
	"lookup_id" text NOT NULL,
	"secret_hash" text NOT NULL,
	"expires_at" timestamp (6) with time zone NOT NULL,
	"invited_by" text NOT NULL,
	CONSTRAINT "invitation_state" CHECK (state in ('PENDING', 'ACCEPTED', 'WITHDRAWN', 'EXPIRED')),
	CONSTRAINT "invitation_role" CHECK (role in ('owner', 'admin', 'developer', 'viewer'))
);
--> statement-breakpoint
CREATE TABLE "member" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"identity" text NOT NULL,
	"name" text NOT NULL,
	"email" text,
	"role" text NOT NULL,
	CONSTRAINT "member_state" CHECK (state in ('ACTIVE', 'REMOVED')),
	CONSTRAINT "member_role" CHECK (role in ('owner', 'admin', 'developer', 'viewer'))
);
--> statement-breakpoint
CREATE TABLE "rate_usage" (
	"bucket" text NOT NULL,
	"replica" text NOT NULL,
	"spent" double precision NOT NULL,
	"told_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "rate_usage_bucket_replica_pk" PRIMARY KEY("bucket","replica")
);
--> statement-breakpoint
CREATE TABLE "secret" (
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
	"value" text,
	"revision" integer DEFAULT 1 NOT NULL,
	"changed_at" timestamp (6) with time zone NOT NULL,
	"changed_by" text NOT NULL,
	CONSTRAINT "secret_state" CHECK (state in ('ACTIVE', 'DELETED')),
	CONSTRAINT "secret_erased" CHECK (state = 'ACTIVE' or value is null)
);
--> statement-breakpoint
CREATE TABLE "stack" (
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
	"services" jsonb NOT NULL,
	"placed" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"env" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"env_revision" integer DEFAULT 0 NOT NULL,
	"spec_version" integer DEFAULT 1 NOT NULL,
	"incarnation" text NOT NULL,
	"deleted_at" timestamp (6) with time zone,
	"checked_at" timestamp (6) with time zone,
	CONSTRAINT "stack_state" CHECK (state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'DELETING', 'DELETED'))
);
--> statement-breakpoint
ALTER TABLE "api_token" ADD COLUMN "member_id" text;--> statement-breakpoint
ALTER TABLE "api_token" ADD COLUMN "action_classes" text[];--> statement-breakpoint
-- A team that was there before gets its first owner, whom its tokens stand for, and room for what is new. Until now there was
-- one team at most, and nobody could make another.
INSERT INTO "member" ("id", "state", "team_id", "identity", "name", "role")
	SELECT 'mem_' || substr("id", 6), 'ACTIVE', "id", 'local:mem_' || substr("id", 6), 'first owner', 'owner' FROM "team";--> statement-breakpoint
INSERT INTO "event" ("occurred_at", "team_id", "subject_type", "subject_id", "kind", "to_state", "generation", "version", "actor_kind", "actor_id", "request_id", "transition_id")
	SELECT clock_timestamp(), "team_id", 'Member', "id", 'joinTeam', "state", 1, 1, 'system', 'migrate', 'migrate', gen_random_uuid()::text FROM "member";--> statement-breakpoint
UPDATE "api_token" t SET "member_id" = m."id", "action_classes" = '{read,reversible,creating,irreversible}' FROM "member" m WHERE m."team_id" = t."team_id";--> statement-breakpoint
INSERT INTO "plan_usage" ("team_id", "kind", "used", "cap")
	SELECT t."id", c.kind, c.used, c.cap FROM "team" t, (VALUES ('stacks', 0, 50), ('secrets', 0, 200), ('members', 1, 100), ('owners', 1, 100)) AS c(kind, used, cap);--> statement-breakpoint
ALTER TABLE "api_token" ALTER COLUMN "member_id" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "api_token" ALTER COLUMN "action_classes" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "team" ADD COLUMN "deletion_at" timestamp (6) with time zone;--> statement-breakpoint
ALTER TABLE "invitation" ADD CONSTRAINT "invitation_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "invitation" ADD CONSTRAINT "invitation_invited_by_member_id_fk" FOREIGN KEY ("invited_by") REFERENCES "public"."member"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "member" ADD CONSTRAINT "member_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "secret" ADD CONSTRAINT "secret_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "stack" ADD CONSTRAINT "stack_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "invitation_lookup_id" ON "invitation" USING btree ("lookup_id");--> statement-breakpoint
CREATE INDEX "invitation_list" ON "invitation" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "invitation_expiry" ON "invitation" USING btree ("expires_at") WHERE state in ('PENDING');--> statement-breakpoint
CREATE UNIQUE INDEX "member_identity" ON "member" USING btree ("identity","team_id") WHERE state in ('ACTIVE');--> statement-breakpoint
CREATE INDEX "member_list" ON "member" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "rate_usage_age" ON "rate_usage" USING btree ("told_at");--> statement-breakpoint
CREATE UNIQUE INDEX "secret_name" ON "secret" USING btree ("team_id","environment","name") WHERE state in ('ACTIVE');--> statement-breakpoint
CREATE INDEX "secret_list" ON "secret" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "stack_name" ON "stack" USING btree ("team_id","environment","name") WHERE state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED');--> statement-breakpoint
CREATE INDEX "stack_list" ON "stack" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "stack_check" ON "stack" USING btree ("checked_at") WHERE state in ('HEALTHY');--> statement-breakpoint
CREATE INDEX "stack_passing" ON "stack" USING btree ("state","state_changed_at") WHERE state in ('BUILDING', 'DEPLOYING', 'DELETING');--> statement-breakpoint
ALTER TABLE "api_token" ADD CONSTRAINT "api_token_member_id_member_id_fk" FOREIGN KEY ("member_id") REFERENCES "public"."member"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "api_token_member" ON "api_token" USING btree ("member_id");