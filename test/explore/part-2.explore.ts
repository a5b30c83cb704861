// A part of all meetings, under every schedule: see whole.ts.
import { explorePart } from './whole.ts'

explorePart(2)
