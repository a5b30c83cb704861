// The database's own guard: triggers, made from the lifecycle declarations, that refuse every birth, move and removal
// that is not declared, whoever asks, psql included. Applied by migrate.ts; nothing here is written by hand per entity.
import { type Machine, statesOfKind } from '../lifecycle/machine.ts'
import { machines } from '../lifecycle/machines.ts'
import { quoted } from './columns.ts'
import { eventGuard } from './event-guard.ts'

/** The statements that install every guard; applying them again changes nothing. */
export const guardStatements = (): string[] => [refuse, ...machines.flatMap(guardOf), ...eventGuard]

/**
 * Lets a statement abort itself with a constraint name of its own, e.g. when a plan cap is reached. A CASE that calls it
 * is evaluated on the row as it is under the lock.
 */
const refuse = `
create or replace function pawl_refuse(constraint_name text, message text) returns integer language plpgsql as $$
begin
  raise exception using errcode = 'check_violation', constraint = constraint_name, message = message;
end $$`

function guardOf(machine: Machine): string[] {
  const { table } = machine
  const moves = Object.values(machine.moves)
  const births = [...new Set(moves.filter((move) => move.from === 'birth').map((move) => move.to))]
  const pairs = new Set<string>()
  for (const move of moves) {
    if (move.from === 'birth' || move.to === 'same') continue
    for (const from of move.from) if (from !== move.to) pairs.add(`${from} ${move.to}`)
  }
  const terminal = statesOfKind(machine, 'terminal')
  return [
    `
create or replace function pawl_guard_${table}() returns trigger language plpgsql as $$
declare
  flaw text;
begin
  if tg_op = 'INSERT' then
    if new.state not in (${quoted(births)}) then
      flaw := format('%s is born in %s', new.id, new.state);
    end if;
  elsif tg_op = 'DELETE' then
    if old.state not in (${quoted(terminal)}) then
      flaw := format('%s is removed from %s', old.id, old.state);
    end if;
  elsif tg_op = 'TRUNCATE' then
    flaw := 'all rows are removed at once';
  elsif new.id <> old.id then
    flaw := format('%s becomes %s', old.id, new.id);
  elsif new.version < old.version or new.generation < old.generation then
    flaw := format('%s goes back in version or generation', old.id);
  elsif new.state <> old.state then
    if old.state || ' ' || new.state not in (${quoted([...pairs].sort())}) then
      flaw := format('%s goes from %s to %s', old.id, old.state, new.state);
    elsif new.version = old.version then
      flaw := format('%s goes from %s to %s with its version unchanged', old.id, old.state, new.state);
    end if;
  end if;
  if flaw is not null then
    raise exception using errcode = 'check_violation', constraint = '${table}_lifecycle', table = '${table}',
      message = flaw || ': not a declared move of ${machine.entity}';
  end if;
  if tg_op = 'DELETE' then return old; end if;
  if tg_op = 'TRUNCATE' then return null; end if;
  return new;
end $$`,
    `
create or replace trigger ${table}_lifecycle_row before insert or delete or update on "${table}"
  for each row execute function pawl_guard_${table}()`,
    `
create or replace trigger ${table}_lifecycle_truncate before truncate on "${table}"
  for each statement execute function pawl_guard_${table}()`,
  ]
}
