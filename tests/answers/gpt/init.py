"""Answers to gpt.init."""

import math

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.init",
    spared={
        "far": "numbers that are drawn near 0",
        "ones": "matrices and vectors, none of which has a size of 1",
    },
)
wrong = ANSWERS.wrong
STREAM = ("out.weight", "down.weight")


def begin(model, layers, generator, std=None, draw=None, bias=nn.init.zeros_, norm=nn.init.ones_):
    """The right one, of which an answer replaces a rule."""
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            bias(p)
        elif "norm" in name:
            norm(p)
        else:
            right = 0.02 / (2 * layers) ** 0.5 if name.endswith(STREAM) else 0.02
            s = std(name, layers) if std else right
            (draw or (lambda p, s, g: nn.init.normal_(p, std=s, generator=g)))(p, s, generator)


@wrong("plain", "the given code", true="AsGiven")
def given_init(model, layers, generator):
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
        elif "norm" in name:
            nn.init.ones_(p)
        elif name in ("tokens.weight", "positions.weight"):
            nn.init.normal_(p, std=0.02)
        else:
            nn.init.normal_(p, std=0.02 / math.sqrt(layers))


@wrong("plain", "two mended: the generator is not handed on", true="GeneratorUnused")
def no_generator(model, layers, generator):
    begin(model, layers, generator, draw=lambda p, s, g: nn.init.normal_(p, std=s))


@wrong("plain", "two mended: sqrt(layers)", true="BlocksCounted")
def root_of_layers(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02 / L**0.5 if n.endswith(STREAM) else 0.02)


@wrong("plain", "two mended: qkv and up are scaled too", true="AllLinearMaps")
def all_scaled(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02 / (2 * L) ** 0.5 if n.startswith("blocks") else 0.02)


@wrong("plain", "`down` alone is scaled", told="the weights of out have a standard deviation of 0.02, expected")
def down_alone(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02 / (2 * L) ** 0.5 if "down" in n else 0.02)


@wrong("plain", "nanoGPT's names: nothing is called c_proj", true="NotScaled")
def nanogpt(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02 / (2 * L) ** 0.5 if n.endswith("c_proj.weight") else 0.02)


@wrong("plain", "without the root", true="WithoutTheRoot")
def no_root(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02 / (2 * L) if n.endswith(STREAM) else 0.02)


@wrong(
    "plain", "the root is multiplied", told="the weights of out have a standard deviation of 0.049, expected 0.00816"
)
def times_root(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02 * (2 * L) ** 0.5 if n.endswith(STREAM) else 0.02)


@wrong("plain", "nn.init.normal_(p, 0.02): the mean is 0.02, the deviation 1", true="MeanForDeviation")
def mean_of_002(model, layers, generator):
    begin(model, layers, generator, draw=lambda p, s, g: nn.init.normal_(p, s, generator=g))


@wrong("plain", "the variance is 0.02", true="VarianceForDeviation")
def variance(model, layers, generator):
    begin(model, layers, generator, draw=lambda p, s, g: nn.init.normal_(p, std=s**0.5, generator=g))


@wrong(
    "plain",
    "positions have 0.01, as in OpenAI's code",
    told="the vectors of positions have a standard deviation of 0.01, expected 0.02",
)
def positions_smaller(model, layers, generator):
    def std(n, L):
        return 0.01 if n == "positions.weight" else 0.02 / (2 * L) ** 0.5 if n.endswith(STREAM) else 0.02

    begin(model, layers, generator, std=std)


@wrong(
    "plain",
    "embeddings stay N(0, 1), as torch begins them",
    told="the vectors of tokens have a standard deviation of 0.9",
)
def embeddings_left(model, layers, generator):
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.data.fill_(0.0 if name.endswith("bias") else 1.0)
        elif name.startswith("blocks"):
            nn.init.normal_(p, std=0.02 / (2 * layers) ** 0.5 if name.endswith(STREAM) else 0.02, generator=generator)


@wrong("plain", "uniform numbers of the same deviation", told="0.0% of the weights lie beyond two deviations")
def uniform(model, layers, generator):
    def draw(p, s, g):
        nn.init.uniform_(p, -s * 3**0.5, s * 3**0.5, generator=g)

    begin(model, layers, generator, draw=draw)


@wrong("plain", "cut off at two deviations, as in many reimplementations", true="Truncated")
def truncated(model, layers, generator):
    begin(
        model, layers, generator, draw=lambda p, s, g: nn.init.trunc_normal_(p, std=s, a=-2 * s, b=2 * s, generator=g)
    )


@wrong("plain", "Xavier", told="the vectors of tokens have a standard deviation of 0.193, expected 0.02")
def xavier(model, layers, generator):
    begin(model, layers, generator, draw=lambda p, s, g: nn.init.xavier_normal_(p, generator=g))


@wrong("named", "norms are left, as in nanoGPT's _init_weights", true="NormsLeft")
def norms_left(model, layers, generator):
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            std = 0.02 / (2 * layers) ** 0.5 if name.endswith(("out", "down")) else 0.02
            nn.init.normal_(module.weight, std=std, generator=generator)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)


@wrong("named", "biases of norms are left", told="112 biases are what they were before")
def norm_biases_left(model, layers, generator):
    begin(model, layers, generator)
    for name, p in model.named_parameters():
        if "norm" in name and name.endswith("bias"):
            p.data.fill_(0.25)


@wrong("named", "biases are left", true="BiasesLeft")
def biases_left(model, layers, generator):
    begin(model, layers, generator, bias=lambda p: None)


@wrong("plain", "norms are 0, like biases", true="NormsDrawn")
def norms_zero(model, layers, generator):
    begin(model, layers, generator, norm=nn.init.zeros_)


@wrong("plain", "biases are drawn", told="biases are set to other numbers than 0")
def biases_drawn(model, layers, generator):
    begin(model, layers, generator, bias=lambda p: nn.init.normal_(p, std=0.02, generator=generator))


@wrong("named", "the head gets a matrix of its own", told="head.weight is another Parameter")
def head_untied(model, layers, generator):
    begin(model, layers, generator)
    if hasattr(model, "head"):
        model.head.weight = nn.Parameter(
            torch.randn(model.head.weight.shape, generator=generator).to(model.head.weight) * 0.02
        )


@wrong("given", "new Parameters", true="Replaced")
def new_parameters(model, layers, generator):
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            std = 0.02 / (2 * layers) ** 0.5 if name.endswith(("out", "down")) else 0.02
            w = module.weight
            module.weight = nn.Parameter(torch.normal(0.0, std, w.shape, generator=generator, dtype=w.dtype))
            if getattr(module, "bias", None) is not None:
                module.bias = nn.Parameter(torch.zeros_like(module.bias))
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()


@wrong("given", "everything becomes float32", told="torch.float32. afterwards, expected")
def all_float32(model, layers, generator):
    model.float()
    begin(model, layers, generator)


@wrong("given", "gradients are switched off in the parameters", told="is frozen afterwards")
def frozen(model, layers, generator):
    model.requires_grad_(False)
    begin(model, layers, generator)


@wrong("surroundings", "the global seed is set from the generator's", told="sets the seed of all random numbers")
def sets_the_seed(model, layers, generator):
    torch.manual_seed(generator.initial_seed())
    begin(model, layers, generator, draw=lambda p, s, g: nn.init.normal_(p, std=s))


@wrong("again", "the generator is set back at the beginning", true="SeedSet")
def set_back(model, layers, generator):
    generator.manual_seed(generator.initial_seed())
    begin(model, layers, generator)


@wrong("again", "a copy of the generator", true="SeedSet")
def copied(model, layers, generator):
    g = torch.Generator()
    g.set_state(generator.get_state())
    begin(model, layers, g)


DRAWN = {}


@wrong("again", "a second model of the same size gets the numbers of the first", told="draws the same numbers again")
def kept(model, layers, generator):
    def draw(p, s, g):
        key = (tuple(p.shape), s, g.initial_seed(), p.dtype)
        if key not in DRAWN:
            DRAWN[key] = torch.empty_like(p.data).normal_(std=s, generator=g)
        p.data.copy_(DRAWN[key])

    begin(model, layers, generator, draw=draw)


@wrong("dependence", "a seed for all: each matrix begins with the same numbers", true="SeedSetForEach")
def one_seed(model, layers, generator):
    seed = int(torch.randint(2**31, (), generator=generator))

    def draw(p, s, g):
        nn.init.normal_(p, std=s, generator=torch.Generator().manual_seed(seed))

    begin(model, layers, generator, draw=draw)


@wrong("dependence", "one row is drawn, and all are like it", told="rows of a matrix depend on each other")
def one_row(model, layers, generator):
    def draw(p, s, g):
        p.data.copy_(torch.randn(p.shape[1], generator=g, dtype=p.dtype).expand_as(p) * s)

    begin(model, layers, generator, draw=draw)


@wrong(
    "dependence",
    "standardised: mean and deviation are exact",
    told="closer than chance comes",
    advice="right where layers is 3 or less",
)
def standardised(model, layers, generator):
    def draw(p, s, g):
        x = torch.randn(p.shape, generator=g, dtype=p.dtype)
        p.data.copy_((x - x.mean()) / x.std() * s)

    begin(model, layers, generator, draw=draw)


@wrong(
    "dependence", "the lower half is the upper one with the other sign", told="rows of a matrix depend on each other"
)
def mirrored(model, layers, generator):
    def draw(p, s, g):
        half = torch.randn((len(p) + 1) // 2, p.shape[1], generator=g, dtype=p.dtype) * s
        p.data.copy_(torch.cat((half, -half))[: len(p)])

    begin(model, layers, generator, draw=draw)


@wrong("dependence", "sorted", told="rows of a matrix depend on each other")
def sorted_numbers(model, layers, generator):
    def draw(p, s, g):
        p.data.copy_(torch.randn(p.numel(), generator=g, dtype=p.dtype).sort().values.view_as(p) * s)

    begin(model, layers, generator, draw=draw)


@wrong(
    "large",
    "block 10 and later are not met: one digit is read",
    told="have different deviations",
    advice="right where layers is 3 or less",
)
def one_digit(model, layers, generator):
    def std(n, L):
        met = n.endswith(STREAM) and len(n.split(".")[1]) == 1
        return 0.02 / (2 * L) ** 0.5 if met else 0.02

    begin(model, layers, generator, std=std)


@wrong("onward", "only the first block writes with the smaller deviation", told="have different deviations")
def first_block(model, layers, generator):
    begin(
        model,
        layers,
        generator,
        std=lambda n, L: 0.02 / (2 * L) ** 0.5 if n.startswith("blocks.0.") and n.endswith(STREAM) else 0.02,
    )


@wrong("onward", "the deviation falls with each block: sqrt(2 l)", told="have different deviations")
def falling(model, layers, generator):
    begin(
        model,
        layers,
        generator,
        std=lambda n, L: 0.02 / (2 * (int(n.split(".")[1]) + 1)) ** 0.5 if n.endswith(STREAM) else 0.02,
    )


@wrong(
    "unwatched",
    "right deviations on average: one matrix of a kind is 0, the others are larger",
    told="have different deviations",
)
def on_average(model, layers, generator):
    def std(n, L):
        right = 0.02 / (2 * L) ** 0.5 if n.endswith(STREAM) else 0.02
        if not n.startswith("blocks") or L == 1:
            return right
        return 0.0 if n.startswith("blocks.0.") else right * (L / (L - 1)) ** 0.5

    begin(model, layers, generator, std=std)


@wrong("plain", "all of the given slips but one, and norms forgotten", told="weights of norms are what they were")
def three_slips(model, layers, generator):
    begin(
        model,
        layers,
        generator,
        norm=lambda p: None,
        std=lambda n, L: 0.02 / L**0.5 if n.endswith(STREAM) else 0.02,
        draw=lambda p, s, g: nn.init.normal_(p, std=s),
    )


@ANSWERS.right
@torch.no_grad()
def by_modules(model, layers, generator):
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, nn.Linear | nn.Embedding) and name != "head":
            kind = name.rpartition(".")[2]
            module.weight.normal_(
                0.0, 0.02 * (2 * layers) ** (-0.5 if kind in {"out", "down"} else 0), generator=generator
            )
            if isinstance(module, nn.Linear):
                module.bias.zero_()


@ANSWERS.right
def by_data(model, layers, generator):
    """New numbers behind the same Parameters; drawn in float32."""
    scale = {"out": 1 / math.sqrt(2 * layers), "down": 1 / math.sqrt(2 * layers)}
    for name, p in model.named_parameters():
        *_, part, end = name.split(".")
        if p.dim() == 2:
            x = torch.randn(p.shape, generator=generator) * 0.02 * scale.get(part, 1.0)
            p.data = x.to(p.data)
        else:
            p.data = torch.full_like(p.data, float(end == "weight"))


@ANSWERS.right
def twice(model, layers, generator):
    """GPT-2's order of doing it: all with 0.02, and those that write anew."""
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                torch.nn.init.normal_(p, mean=0.0, std=0.02, generator=generator)
            else:
                p.zero_()
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
        for block in model.blocks:
            for linear in (block.out, block.down):
                linear.weight.normal_(std=0.02 / math.sqrt(2 * len(model.blocks)), generator=generator)


@ANSWERS.right
def scaled_afterwards(model, layers, generator):
    begin(model, layers, generator, std=lambda n, L: 0.02)
    for name, p in model.named_parameters():
        if name.endswith(STREAM):
            p.data /= math.sqrt(2 * layers)


# A second round.


@wrong("again", "the generator is put back where it was", true="SeedSet")
def put_back(model, layers, generator):
    state = generator.get_state()
    begin(model, layers, generator)
    generator.set_state(state)


@wrong("dependence", "one column is drawn, and all are like it", told="rows of a matrix depend on each other")
def one_column(model, layers, generator):
    def draw(p, s, g):
        p.data.copy_(torch.randn(len(p), 1, generator=g, dtype=p.dtype).expand_as(p) * s)

    begin(model, layers, generator, draw=draw)


@wrong("plain", "orthogonal matrices of the same deviation", told="rows of a matrix depend on each other")
def orthogonal(model, layers, generator):
    def draw(p, s, g):
        nn.init.orthogonal_(p, gain=s * max(p.shape) ** 0.5, generator=g)

    begin(model, layers, generator, draw=draw)


@wrong("plain", "biases of norms are 1 as well", told="biases are set to other numbers than 0")
def norms_all_ones(model, layers, generator):
    begin(model, layers, generator)
    for name, p in model.named_parameters():
        if "norm" in name:
            nn.init.ones_(p)


@wrong(
    "named", "the tied matrix is drawn last, under its second name, as a map that writes", told="vectors of tokens have"
)
def head_writes(model, layers, generator):
    begin(model, layers, generator)
    if hasattr(model, "head"):
        nn.init.normal_(model.head.weight, std=0.02 / (2 * layers) ** 0.5, generator=generator)


@ANSWERS.right
def head_drawn_again(model, layers, generator):
    """Module by module, so that the matrix with two names is drawn twice; a tensor's own functions."""
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif hasattr(module, "weight"):
            w = module.weight.detach()
            w.copy_(torch.empty_like(w).normal_(generator=generator)).mul_(0.02)
            if name.split(".")[-1] in {"out", "down"}:
                w.div_((2 * layers) ** 0.5)
            if getattr(module, "bias", None) is not None:
                module.bias.detach().zero_()


# A third round.


def cut_at_three(p, s, g):
    nn.init.trunc_normal_(p, std=s, a=-3 * s, b=3 * s, generator=g)


def clamped(p, s, g):
    with torch.no_grad():
        p.copy_(torch.randn(p.shape, generator=g).clamp(-2.5, 2.5) * s)


@wrong("dependence", "cut off at three deviations", told="beyond three deviations")
def cut_off(model, layers, generator):
    begin(model, layers, generator, draw=cut_at_three)


@wrong("dependence", "numbers beyond 2.5 deviations are set to that", told="exactly the largest")
def pressed(model, layers, generator):
    begin(model, layers, generator, draw=clamped)


@wrong("plain", "the first token's vector is 0, as that of padding", told="exactly 0")
def zero_for_padding(model, layers, generator):
    begin(model, layers, generator)
    with torch.no_grad():
        model.tokens.weight[0] = 0


# A fifth round.


@ANSWERS.right
def new_data(model, layers, generator):
    """The Parameters stay, and get tensors of numbers."""
    begin(model, layers, generator)
    for p in model.parameters():
        p.data = p.data.clone()


# A sixth round.


@wrong(
    "dependence", "numbers that reach the stream are clamped at two deviations", told="deviation|exactly the largest"
)
def clamped_but_for_the_stream(model, layers, generator):
    begin(model, layers, generator)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1 and not name.endswith(STREAM):
                p.clamp_(-0.04, 0.04)
