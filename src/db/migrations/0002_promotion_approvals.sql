CREATE TABLE "promotion_approval" (
	"id" text PRIMARY KEY NOT NULL,
	"state" text NOT NULL,
	"state_reason" text,
	"state_changed_at" timestamp (6) with time zone DEFAULT now() NOT NULL,
	"version" integer DEFAULT 1 NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"team_id" text NOT NULL,
	"kind" text NOT NULL,
	"subject_id" text NOT NULL,
	"to_environment" text NOT NULL,
	"env_policy" text DEFAULT 'COPY_MISSING' NOT NULL,
	"secret_policy" text DEFAULT 'COPY_MISSING' NOT NULL,
	"plan_digest" text NOT NULL,
	"plan" jsonb NOT NULL,
	"requested_by" text,
	"decided_by" text,
	"decided_at" timestamp (6) with time zone,
	"expires_at" timestamp (6) with time zone NOT NULL,
	"operation_id" text,
	CONSTRAINT "promotion_approval_state" CHECK (state in ('PENDING', 'APPROVED', 'EXECUTED', 'REJECTED', 'WITHDRAWN', 'EXPIRED'))
);
--> statement-breakpoint
ALTER TABLE "team" ADD COLUMN "self_approval" text DEFAULT 'UNLESS_OTHERS_CAN' NOT NULL;--> statement-breakpoint
ALTER TABLE "promotion_approval" ADD CONSTRAINT "promotion_approval_team_id_team_id_fk" FOREIGN KEY ("team_id") REFERENCES "public"."team"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "promotion_approval_list" ON "promotion_approval" USING btree ("team_id","created_at","id");--> statement-breakpoint
CREATE INDEX "promotion_approval_subject" ON "promotion_approval" USING btree ("subject_id","created_at","id");--> statement-breakpoint
CREATE INDEX "promotion_approval_expiry" ON "promotion_approval" USING btree ("expires_at") WHERE state in ('PENDING', 'APPROVED');