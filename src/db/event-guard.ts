// The log's own guard: triggers by which it is append only, whoever asks, psql included. A position is given once, to an
// event that has none; nothing else of an event ever changes; only what lies behind the horizon is removed, and that
// never goes back. Inserts are free: whoever restores a dump brings events with their positions.

/** The statements that install it; applying them again changes nothing. */
export const eventGuard: readonly string[] = [
  `
create or replace function pawl_guard_event() returns trigger language plpgsql as $$
declare
  flaw text;
  horizon bigint;
begin
  if tg_op = 'UPDATE' then
    if old.position is not null or new.position is null then
      flaw := format('event %s is changed', old.id);
    else
      old.position := new.position;
      if old is distinct from new then flaw := format('event %s is changed', old.id); end if;
    end if;
  elsif tg_op = 'DELETE' then
    -- After the whole statement, so that the one that moves the horizon and removes is seen as a whole.
    select trimmed_through into horizon from event_horizon;
    select format('event %s is removed, and the log was trimmed through %s', id, horizon) into flaw
      from gone where position is null or position > coalesce(horizon, 0) limit 1;
  else
    flaw := 'all events are removed at once';
  end if;
  if flaw is not null then
    raise exception using errcode = 'check_violation', constraint = 'event_append_only', table = 'event',
      message = flaw || ': the log is append only';
  end if;
  return new;
end $$`,
  `
create or replace trigger event_append_only_update before update on event
  for each row execute function pawl_guard_event()`,
  `
create or replace trigger event_append_only_delete after delete on event referencing old table as gone
  for each statement execute function pawl_guard_event()`,
  `
create or replace trigger event_append_only_truncate before truncate on event
  for each statement execute function pawl_guard_event()`,
  `
create or replace function pawl_guard_event_horizon() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.trimmed_through >= old.trimmed_through then return new; end if;
  raise exception using errcode = 'check_violation', constraint = 'event_append_only', table = 'event_horizon',
    message = 'the horizon goes back: positions would be given again';
end $$`,
  `
create or replace trigger event_horizon_forward before update or delete on event_horizon
  for each row execute function pawl_guard_event_horizon()`,
  `
create or replace trigger event_horizon_kept before truncate on event_horizon
  for each statement execute function pawl_guard_event_horizon()`,
]
