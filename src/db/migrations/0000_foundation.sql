CREATE TABLE "api_token" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"name" text NOT NULL,
	"lookup_id" text NOT NULL,
	"secret_hash" text NOT NULL,
	"scopes" text[] NOT NULL,
	"expires_at" timestamp (6) with time zone NOT NULL,
	"last_used_at" timestamp (6) with time zone,
	CONSTRAINT "api_token_state" CHECK (state in ('ACTIVE', 'REVOKED', 'EXPIRED'))
);
--> statement-breakpoint
CREATE TABLE "deployment" (
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
	"image" text NOT NULL,
	"env" jsonb DEFAULT '{}'::jsonb NOT NULL,
	"env_revision" integer DEFAULT 0 NOT NULL,
	"ttl_policy" text NOT NULL,
	"expires_at" timestamp (6) with time zone,
	"incarnation" text NOT NULL,
	"url" text,
	"instance_id" text,
	"checked_at" timestamp (6) with time zone,
	CONSTRAINT "deployment_state" CHECK (state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED', 'EXPIRED', 'DELETING', 'DELETED')),
	CONSTRAINT "deployment_ttl" CHECK (("deployment"."ttl_policy" = 'TTL') = ("deployment"."expires_at" is not null))
);
--> statement-breakpoint
CREATE TABLE "event" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"position" bigint,
	"occurred_at" timestamp (6) with time zone NOT NULL,
	"team_id" text NOT NULL,
	"subject_type" text NOT NULL,
	"subject_id" text NOT NULL,
	"kind" text NOT NULL,
	"from_state" text,
	"to_state" text NOT NULL,
	"generation" integer NOT NULL,
	"version" integer NOT NULL,
	"actor_kind" text NOT NULL,
	"actor_id" text NOT NULL,
	"request_id" text NOT NULL,
	"operation_id" text,
	"transition_id" text NOT NULL,
	"data" jsonb
);
--> statement-breakpoint
CREATE TABLE "idempotency_key" (
	"actor_id" text NOT NULL,
	"mutation" text NOT NULL,
	"key" text NOT NULL,
	"input_hash" text NOT NULL,
	"subject_id" text NOT NULL,
	"operation_id" text,
	"result" jsonb,
	"created_at" timestamp (6) with time zone NOT NULL,
	CONSTRAINT "idempotency_key_actor_id_mutation_key_pk" PRIMARY KEY("actor_id","mutation","key")
);
--> statement-breakpoint
CREATE TABLE "operation" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"kind" text NOT NULL,
	"subject_type" text NOT NULL,
	"subject_id" text NOT NULL,
	"attempt" integer DEFAULT 0 NOT NULL,
	"failures" integer DEFAULT 0 NOT NULL,
	"due_at" timestamp (6) with time zone NOT NULL,
	"claim_token" text,
	"claimed_by" text,
	"started_at" timestamp (6) with time zone,
	"finished_at" timestamp (6) with time zone,
	"outcome" text,
	"retry_of" text,
	"actor" jsonb NOT NULL,
	"request_id" text NOT NULL,
	CONSTRAINT "operation_state" CHECK (state in ('PENDING', 'RUNNING', 'UNKNOWN', 'SUCCEEDED', 'FAILED', 'SUPERSEDED', 'CANCELLED'))
);
--> statement-breakpoint
CREATE TABLE "plan_usage" (
	"team_id" text NOT NULL,
	"kind" text NOT NULL,
	"used" integer DEFAULT 0 NOT NULL,
	"cap" integer NOT NULL,
	CONSTRAINT "plan_usage_team_id_kind_pk" PRIMARY KEY("team_id","kind")
);
--> statement-breakpoint
CREATE TABLE "resource" (
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
	"type" text NOT NULL,
	"incarnation" text NOT NULL,
	"password" text NOT NULL,
	"next_password" text,
	"connection" text,
	"expires_at" timestamp (6) with time zone,
	"deleted_at" timestamp (6) with time zone,
	"limit_bytes" bigint NOT NULL,
	"size_bytes" bigint,
	"measured_at" timestamp (6) with time zone,
	CONSTRAINT "resource_state" CHECK (state in ('PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED', 'DELETING', 'DELETED'))
);
--> statement-breakpoint
CREATE TABLE "team" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"name" text NOT NULL,
	"plan" text DEFAULT 'standard' NOT NULL,
	CONSTRAINT "team_state" CHECK (state in ('ACTIVE', 'DELETION_REQUESTED', 'DELETING', 'DELETED'))
);
--> statement-breakpoint
ALTER TABLE "api_token" ADD CONSTRAINT "api_token_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "deployment" ADD CONSTRAINT "deployment_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "operation" ADD CONSTRAINT "operation_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "plan_usage" ADD CONSTRAINT "plan_usage_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "resource" ADD CONSTRAINT "resource_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "api_token_lookup_id" ON "api_token" USING btree ("lookup_id");--> statement-breakpoint
CREATE INDEX "api_token_list" ON "api_token" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "deployment_name" ON "deployment" USING btree ("team_id","environment","name") WHERE state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED');--> statement-breakpoint
CREATE INDEX "deployment_list" ON "deployment" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "deployment_by_name" ON "deployment" USING btree ("team_id","environment","name","created_at");--> statement-breakpoint
CREATE INDEX "deployment_expiry" ON "deployment" USING btree ("expires_at") WHERE ttl_policy = 'TTL' and state in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED', 'STOPPING', 'STOPPED');--> statement-breakpoint
CREATE INDEX "deployment_check" ON "deployment" USING btree ("checked_at") WHERE state in ('HEALTHY');--> statement-breakpoint
CREATE INDEX "deployment_passing" ON "deployment" USING btree ("state","state_changed_at") WHERE state in ('BUILDING', 'DEPLOYING', 'STOPPING', 'EXPIRED', 'DELETING');--> statement-breakpoint
CREATE UNIQUE INDEX "event_position" ON "event" USING btree ("position");--> statement-breakpoint
CREATE INDEX "event_unsequenced" ON "event" USING btree ("id") WHERE position is null;--> statement-breakpoint
CREATE INDEX "event_subject" ON "event" USING btree ("subject_id","id");--> statement-breakpoint
CREATE INDEX "event_team" ON "event" USING btree ("team_id","position");--> statement-breakpoint
CREATE INDEX "idempotency_key_age" ON "idempotency_key" USING btree ("created_at");--> statement-breakpoint
CREATE UNIQUE INDEX "operation_one_per_subject" ON "operation" USING btree ("subject_id") WHERE state in ('RUNNING', 'UNKNOWN');--> statement-breakpoint
CREATE INDEX "operation_due" ON "operation" USING btree ("kind","due_at") WHERE state in ('PENDING', 'RUNNING', 'UNKNOWN');--> statement-breakpoint
CREATE INDEX "operation_live" ON "operation" USING btree ("subject_id","generation") WHERE state in ('PENDING', 'RUNNING', 'UNKNOWN');--> statement-breakpoint
CREATE INDEX "operation_subject" ON "operation" USING btree ("subject_id","created_at","id");--> statement-breakpoint
CREATE INDEX "operation_list" ON "operation" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "resource_name" ON "resource" USING btree ("team_id","environment","name") WHERE state in ('PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED');--> statement-breakpoint
CREATE INDEX "resource_list" ON "resource" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "resource_expiry" ON "resource" USING btree ("expires_at") WHERE expires_at is not null and state in ('PROVISIONING', 'ACTIVE', 'PAUSING', 'PAUSED', 'RESUMING', 'SUSPENDED', 'FAILED');--> statement-breakpoint
CREATE INDEX "resource_measure" ON "resource" USING btree ("measured_at") WHERE state in ('ACTIVE', 'SUSPENDED');--> statement-breakpoint
CREATE INDEX "resource_passing" ON "resource" USING btree ("state","state_changed_at") WHERE state in ('PROVISIONING', 'PAUSING', 'RESUMING', 'DELETING');