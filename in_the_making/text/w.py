LANDSCAPE = '''# %%
from coursekit.widgets import loss_landscape

loss_landscape()
'''
RATE = '''# %%
from coursekit.widgets import find_the_rate
from coursekit.widgets.rate_finder import growing_rates


def short_run(rates, batch):
    """The loss before each step of AdamW, whose rate is the next one of `rates`, from a new start."""
    network, g = deep(2, 0, L=2), torch.Generator().manual_seed(seed)
    optimiser, losses = torch.optim.AdamW(network.parameters(), weight_decay=0), []
    for step_rate in rates:
        optimiser.param_groups[0]["lr"] = step_rate
        rows = torch.randint(len(training), (batch,), generator=g)
        loss = F.cross_entropy(network(training.images[rows]), training.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


find_the_rate(short_run, growing_rates(1e-5, 3, 30 if profile == "smoke" else 120))

# %% [markdown]
# Take the suggestion as an order of magnitude. It depends on the batch (move its slider), and the run is so short that it knows nothing of the end. A network that is deeper, or that has other norms, has
# another best rate. What the curve shows for sure is where a rate is hopeless.
'''
PRECISION = '''# %%
from coursekit.widgets import precision_ruler

precision_ruler()
'''
TOKENS = '''# %%
from coursekit.material.data import byte_pairs
from coursekit.widgets import token_explorer
from coursekit.widgets.tokenizing import UTF_8, of_transformers

token_explorer({
    "your merges": (lambda text: to_ids(text, merges, {}), lambda i: to_bytes([i], merges, {})),
    "3,072 entries, from the same prose": of_transformers(byte_pairs()),
    "bytes": UTF_8,
})
'''
CLINIC = '''# %%
from coursekit.widgets import watch_an_illness

watch_an_illness("rate too high")
'''
import re,sys
from pathlib import Path
R=Path('/root/core_text'); C=Path('/root/core_cells')
parts=[(R/f'{n:02}.py').read_text().rstrip()+'\n' for n in range(1,16)]
text='\n'.join(parts)
clinic=(C/'clinic.py').read_text()
# the check is followed by cells of its own that this chapter writes itself
clinic=clinic.split('# %%\ndoctor = use(')[0]
sub={'init':(C/'init.py').read_text(),'regularise':(C/'regularise.py').read_text().replace("import copy\n\n","import copy\n\n"),'loop':(C/'loop.py').read_text(),'all_together':(R/'11b.py').read_text(),
 'landscape':LANDSCAPE,'rate_finder':RATE,'precision':PRECISION,'tokenizing':TOKENS,'clinic_widget':CLINIC,'clinic':clinic,'scaling_law':(C/'scaling_law.py').read_text()+(R/'13b.py').read_text()}
text=re.sub(r'^# @@ (\w+)$', lambda m: sub[m[1]].strip()+'\n', text, flags=re.M)
text=re.sub(r'\n{3,}(# %%)', r'\n\n\1', text)
Path('/work/main/chapters/01_core_concepts.py').write_text(text)
