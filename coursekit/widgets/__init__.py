"""Sliders that teach: each draws a figure at once, and again whenever a control moves."""

from coursekit.widgets.before_after import before_and_after
from coursekit.widgets.cells import cache_cells
from coursekit.widgets.checkpoints import samples_by_step
from coursekit.widgets.choosing import sampler
from coursekit.widgets.clinic import watch_an_illness
from coursekit.widgets.costs import price_of_a_message
from coursekit.widgets.deadlocks import find_the_deadlock
from coursekit.widgets.drafting import draft_and_verify
from coursekit.widgets.experts import expert_load
from coursekit.widgets.explorer import attention_explorer
from coursekit.widgets.fill import fill_the_mask
from coursekit.widgets.landscape import loss_landscape
from coursekit.widgets.memory_planner import plan_memory
from coursekit.widgets.pipelines import play_the_pipeline
from coursekit.widgets.precision import precision_ruler
from coursekit.widgets.rate_finder import find_the_rate
from coursekit.widgets.rings import step_the_ring
from coursekit.widgets.rotary import rotary_frequencies
from coursekit.widgets.scale import scale_entropy
from coursekit.widgets.thinking import watch_it_think
from coursekit.widgets.threshold import precision_and_recall
from coursekit.widgets.tokenizing import token_explorer

__all__ = [
    "attention_explorer",
    "before_and_after",
    "cache_cells",
    "draft_and_verify",
    "expert_load",
    "fill_the_mask",
    "find_the_deadlock",
    "find_the_rate",
    "loss_landscape",
    "plan_memory",
    "play_the_pipeline",
    "precision_and_recall",
    "precision_ruler",
    "price_of_a_message",
    "rotary_frequencies",
    "sampler",
    "samples_by_step",
    "scale_entropy",
    "step_the_ring",
    "token_explorer",
    "watch_an_illness",
    "watch_it_think",
]
