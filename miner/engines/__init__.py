"""The engines, one room each; `miner.engine` has what all of them are like."""
