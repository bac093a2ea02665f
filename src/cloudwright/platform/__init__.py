"""The parts of one machine, started and supervised; the only room that knows them all."""
