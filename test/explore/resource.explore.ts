// Every pair of operations on one subject, and some triples, under every schedule: see whole.ts.
import { exploreSubjects } from './whole.ts'

exploreSubjects('resource')
