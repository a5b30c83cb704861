-- The mutation as a user of PostGraphile writes it: one function, in a schema that is what the API shows. Who asks is found by what
-- the server has set for the transaction; the row is locked first, so that a repeat under the same key waits for the first call.
create schema api;
create type api.moved_deployment as (id text, state text, version integer);
create type api.queued_operation as (id text, state text);
create type api.redeployed as (
  refusal text,
  deployment api.moved_deployment,
  operation api.queued_operation,
  replayed boolean
);
create function api.redeploy_deployment(
  id text, idempotency_key text default null, image text default null, expected_version integer default null
) returns api.redeployed language plpgsql volatile as $$
#variable_conflict use_column
declare
  input_hash text := encode(sha256(convert_to(jsonb_build_array($1, $3, $4)::text, 'UTF8')), 'hex');
  request_id text := gen_random_uuid()::text;
  transition_id text := gen_random_uuid()::text;
  operation_id text;
  actor record;
  found_row record;
  before record;
  moved record;
begin
  select t.id, t.team_id into actor from public.api_token t
    where t.lookup_id = current_setting('pawl.lookup_id', true) and t.secret_hash = current_setting('pawl.secret_hash', true)
      and t.state = 'ACTIVE' and t.expires_at > now();
  if not found then return row('UNAUTHENTICATED'::text, null::api.moved_deployment, null::api.queued_operation, null::boolean); end if;

  select d.state, d.version into found_row from public.deployment d
    where d.id = $1 and d.team_id = actor.team_id for no key update;
  if not found then return row('NOT_FOUND'::text, null::api.moved_deployment, null::api.queued_operation, null::boolean); end if;

  if $2 is not null then
    select k.input_hash, k.subject_id, k.operation_id into before from public.idempotency_key k
      where k.actor_id = actor.id and k.mutation = 'redeployDeployment' and k.key = $2;
    if found then
      if before.input_hash <> input_hash then return row('IDEMPOTENCY_KEY_REUSED'::text, null::api.moved_deployment, null::api.queued_operation, null::boolean); end if;
      return row(null::text, row(before.subject_id, found_row.state, found_row.version)::api.moved_deployment,
        (select row(o.id, o.state)::api.queued_operation from public.operation o where o.id = before.operation_id), true);
    end if;
  end if;

  if found_row.state not in ('BUILDING', 'DEPLOYING', 'HEALTHY', 'FAILED') then
    return row('NOT_REDEPLOYABLE'::text, null::api.moved_deployment, null::api.queued_operation, null::boolean);
  end if;
  if found_row.version <> $4 then return row('VERSION_CONFLICT'::text, null::api.moved_deployment, null::api.queued_operation, null::boolean); end if;

  update public.deployment d set state = 'BUILDING', state_changed_at = now(), state_reason = null, version = d.version + 1,
      generation = d.generation + 1, image = coalesce($3, d.image)
    where d.id = $1 returning d.id, d.state, d.version, d.generation into moved;
  operation_id := 'op_' || replace(uuidv7()::text, '-', '');
  insert into public.operation (id, state, state_changed_at, generation, team_id, kind, subject_type, subject_id, due_at, actor, request_id)
    values (operation_id, 'PENDING', now(), moved.generation, actor.team_id, 'deployment.roll_out', 'Deployment', $1, now(),
      jsonb_build_object('kind', 'token', 'id', actor.id), request_id);
  insert into public.event (occurred_at, team_id, subject_type, subject_id, kind, from_state, to_state, generation, version, operation_id,
      actor_kind, actor_id, request_id, transition_id)
    values (now(), actor.team_id, 'Deployment', $1, 'redeployDeployment', found_row.state, moved.state, moved.generation,
        moved.version, operation_id, 'token', actor.id, request_id, transition_id),
      (now(), actor.team_id, 'Operation', operation_id, 'queueOperation', null, 'PENDING', moved.generation, 1, operation_id,
        'token', actor.id, request_id, transition_id);
  if $2 is not null then
    insert into public.idempotency_key (actor_id, mutation, key, input_hash, subject_id, operation_id, created_at)
      values (actor.id, 'redeployDeployment', $2, input_hash, $1, operation_id, now());
  end if;
  return row(null::text, row(moved.id, moved.state, moved.version)::api.moved_deployment,
    row(operation_id, 'PENDING')::api.queued_operation, false);
end $$;
