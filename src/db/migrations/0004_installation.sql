CREATE TABLE "installation" (
	"one" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"id" text NOT NULL,
	CONSTRAINT "installation_one" CHECK (one)
);
--> statement-breakpoint
INSERT INTO "installation" ("id") VALUES (gen_random_uuid()::text);
