"""What a pooler decides in every block, as small pure functions that its operator chooses by name.

`model` has the facts that each kind of strategy gets and what each returns, `choice` the names. A
strategy of the operator's own is named as `module:function`. No function here reads a clock, a
file or the network; `pooler/run.py` collects the facts and does what the strategies say.
"""
