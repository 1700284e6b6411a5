# %% [markdown]
# ## 3. Reverse mode
# **Sitting 2 of 8**, 80 minutes. Exercise [[core.autograd]] must be done.
#
# Learning needs one thing of mathematics. How does the loss change when this number changes a little? For fifty thousand numbers at once. The
# chain rule answers it for a step, and the order of the steps makes it cheap.
#
# Look at it as debts. A value that was used owes its gradient to nobody but those who used it. Each user hands back what it received, times its own
# local slope, and what several users hand back is added up. With $\bar x$ for the gradient of the loss with respect to $x$,
#
# [[formula: Reverse mode | a value x and all values y that were made from it]]
#
# $$\bar x = \sum_{y \text{ made from } x} \frac{\partial y}{\partial x}^{\!\top} \bar y$$

# %%
diagram("core.graph")

# %% [markdown]
# Two consequences surprise. A value that was used twice gets two parts, so gradients are **added** and never written over. And what
# was broadcast on the way forward was used several times, so on the way back it is **summed**. A bias of shape (D) that was added to N rows
# gets the sum of N gradients.
#
# Going backward from the loss, each operation is visited once. So all gradients together cost about as much as two forward passes, whether there
# are ten numbers or ten billion. The other direction, **forward mode**, starts at one number and follows it to the loss. It needs a pass
# for each number.
#
# A common error is to take backpropagation for the learning. It only finds the slopes. What is done with them is section 7.

# %% [markdown]
# ### Exercise [[core.autograd]]: Reverse mode in a page
# challenge · importance 5 of 5 · 60 minutes · 5 points
#
# Write `Value`, a tensor that remembers how it was made. `Value(data)` is a **leaf**, and `v.data` is its tensor. Operations give new
# values, and their operands are values too.
#
# - `a + b` and `a * b` broadcast as torch does. `a @ b` takes two matrices. `a.exp()`, `a.log()`, `a.relu()`, `a.sum()` (of all entries, to
#   shape ()) and `a.reshape(...)` take one.
# - `y.backward()` gives each leaf behind `y` its gradient of the sum of all entries of `y`, in `leaf.grad`, with the shape of its data. (All leaves of a graph have one dtype.) If there is
#   a gradient already, the new one is added to it, as in torch. For a result of shape () it is the gradient of that number.
# - A value can be used many times, also twice in one operation. Graphs can be 1,200 operations deep, and have far more paths than values. (Python gives up at
#   a recursion of about 1,000 calls.)
# - No operation changes the data of another value. At 0 the slope of `relu` is 0.
#
# torch may compute data. Its own reverse mode is refused by the check.
#
# <details><summary>Hint 1</summary>
#
# What must `a * b` remember, so that later it can hand back a gradient to `a` and one to `b`? And when does a value know that it has received all its parts?
# </details>
# <details><summary>Hint 2</summary>
#
# A value keeps its operands and one function for each that turns its gradient into theirs. Every operand is older than what was made of it. A
# running number for each value gives an order in which nobody is asked too early.
# </details>
# <details><summary>Hint 3</summary>
#
# Collect all values behind `y` with a list that you use as a stack. Sort them by number, newest first. Hand on, and sum what was broadcast:
# first over leading dimensions that the operand lacks, then, with `keepdim=True`, over those in which it has size 1.
# `torch.Tensor.sum_to_size` does both.
# </details>

# %% exercise="core.autograd"
class Value:
    """A tensor that remembers how it was made, and gives gradients to the leaves behind it."""

    count = 0

    def __init__(self, data: Tensor, parents: tuple = (), slopes: tuple = ()):
        self.data, self.grad = data, None
        ### BEGIN SOLUTION
        self.parents, self.slopes = parents, slopes               # slopes: from my gradient to that of each parent
        Value.count += 1
        self.number = Value.count                                 # parents have smaller ones
        ### END SOLUTION

    ### BEGIN SOLUTION
    def __add__(self, other):
        return Value(self.data + other.data, (self, other), (lambda g: g, lambda g: g))

    def __mul__(self, other):
        return Value(self.data * other.data, (self, other), (lambda g: g * other.data, lambda g: g * self.data))

    def __matmul__(self, other):
        return Value(self.data @ other.data, (self, other), (lambda g: g @ other.data.T, lambda g: self.data.T @ g))

    def exp(self):
        y = self.data.exp()
        return Value(y, (self,), (lambda g: g * y,))

    def log(self):
        return Value(self.data.log(), (self,), (lambda g: g / self.data,))

    def relu(self):
        return Value(self.data.relu(), (self,), (lambda g: g * (self.data > 0),))

    def sum(self):
        return Value(self.data.sum(), (self,), (lambda g: g.expand_as(self.data),))

    def reshape(self, *shape):
        return Value(self.data.reshape(*shape), (self,), (lambda g: g.reshape(self.data.shape),))

    def backward(self):
        behind, stack = {self}, [self]
        while stack:
            new = [parent for parent in stack.pop().parents if parent not in behind]
            behind.update(new)
            stack += new
        owed = {self: torch.ones_like(self.data)}
        for value in sorted(behind, key=lambda value: -value.number):
            g = owed.pop(value)
            if not value.parents:
                value.grad = g.clone() if value.grad is None else value.grad + g
            for parent, slope in zip(value.parents, value.slopes, strict=True):
                part = slope(g).sum_to_size(parent.data.shape)    # what was broadcast is summed
                owed[parent] = owed[parent] + part if parent in owed else part
    ### END SOLUTION

# %% check="core.autograd"
check("core.autograd", Value)

# %% [markdown]
# Sixty lines, and they train a network. Its loss needs a softmax over ten scores, and a sum over the scores of each image is a product with a column of ones.

# %%
Node = use("core.autograd", Value)


def network_loss(W1, b1, W2, b2, X, one_hot):
    """Mean of log sum exp(z) - z[label] over a batch of images X (B, 784)."""
    Z = (X @ W1 + b1).relu() @ W2 + b2                            # (B, 10)
    surprise = (Z.exp() @ Node(torch.ones(10, 1))).log().sum() + (Z * one_hot).sum() * Node(torch.tensor(-1.0))
    return surprise * Node(torch.tensor(1 / len(X.data)))


def start(g):
    """Two matrices and two biases, 784 to 32 to 10."""
    draw = lambda n, m: torch.randn(n, m, generator=g) * (2 / n) ** 0.5
    return [draw(784, 32), torch.zeros(32), draw(32, 10), torch.zeros(10)]


weights = [Node(w) for w in start(torch.Generator().manual_seed(seed))]
X, y = training.images[:100], training.labels[:100]
network_loss(*weights, Node(X), Node(F.one_hot(y, 10).float())).backward()

leaves = [w.requires_grad_() for w in start(torch.Generator().manual_seed(seed))]
Z = (X @ leaves[0] + leaves[1]).relu() @ leaves[2] + leaves[3]
torchs = torch.autograd.grad(F.cross_entropy(Z, y), leaves)
difference = max((w.grad - g).abs().max().item() for w, g in zip(weights, torchs, strict=True))
assert difference < 1e-5, f"found a difference of {difference:.0e} from torch's gradients"
print("25,450 gradients, and torch's up to 0.00001")

# %% [markdown]
# Now let it learn. A step goes against the gradient, a tenth of it. One line is commented out, the one that forgets the gradients of the step before. It is
# the commonest slip of all, and `backward` adds.

# %%
predict("core.not_zeroed")

# %%
def learned(forget, steps=300):
    """Share of held-out digits that are right after so many steps of 100 images."""
    g = torch.Generator().manual_seed(seed)
    weights = [Node(w) for w in start(g)]
    for _ in range(20 if profile == "smoke" else steps):
        rows = torch.randint(len(training), (100,), generator=g)
        one_hot = F.one_hot(training.labels[rows], 10).float()
        network_loss(*weights, Node(training.images[rows]), Node(one_hot)).backward()
        for w in weights:
            w.data -= 0.1 * w.grad
            w.grad = None if forget else w.grad
    W1, b1, W2, b2 = (w.data for w in weights)
    Z = (held_out.images @ W1 + b1).relu() @ W2 + b2
    return (Z.argmax(1) == held_out.labels).float().mean().item()


forgetful, hoarding = learned(True), learned(False)
print(f"gradients forgotten after each step: {forgetful:.1%} right; kept: {hoarding:.1%}")
came_out("core.not_zeroed", round(100 * hoarding))

# %% [markdown]
# <details><summary>What happened</summary>
#
# The sum of all gradients so far is a memory without an end. The steps grow and grow, and so do the scores. Here their exponentials overflow, all scores
# are NaN, and the network answers 0 to everything. That is right for a tenth of the digits. With a smaller rate the loss swings up and down
# and nothing is NaN. Look for such a curve among the six of section 1.
# </details>

# %%
quiz("core.reverse")
