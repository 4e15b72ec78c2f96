"""The problem file that ``pkverify init`` writes."""

TEMPLATE = """\
# A problem for pkverify: a model, a loss, training data, and how far the gradient flow runs.
# Run it with:  pkverify check FILE
#
# Numbers are exact: 3, 0.1 (one tenth), "1/3" and "1e-3" are all read as rationals.
# Formulas know + - * / ** and parentheses, numbers, the declared names, pi, and the functions
# exp log sqrt sin cos tan sinh cosh tanh atan sigmoid softplus relu abs erf. Nothing is run as code.

title = "A quadratic in the weight"     # optional, for reports

[model]
kind = "expression"                     # expression | linear | mlp | deep-linear
params = ["w"]                          # what the flow moves
inputs = ["x"]                          # what an example gives
output = "w*x + w**2*x**2/2"            # a list of formulas for a model with several outputs
#
# kind = "linear"                       # as many inputs as x has columns, an output for each target
# bias = true                           # the default
#
# kind = "mlp"                          # affine layers with an activation between them
# layers = [2, 3, 1]                    # widths, from the inputs to the outputs
# activation = "tanh"                   # any of the functions
# bias = true                           # the default
#
# kind = "deep-linear"                  # a product of matrices
# layers = [1, 1, 1]
# bias = false                          # the default

[loss]                                  # the total loss is the sum over the examples
kind = "squared"                        # (y - target)**2 / 2, summed over the outputs
# kind = "softmax-cross-entropy"        # two logits or more, one-hot targets
# kind = "logistic"                     # one logit, target 0 or 1: softplus(y) - target*y
# kind = "nll-probability"              # the output is the probability of what was observed: -log(y); no targets
# kind = "nll-log-probability"          # the output is the logarithm of it: -y; no targets
# kind = "expression"                   # a formula in y and target (several outputs: y0, y1, ..., target0, ...)
# value = "-(target*log(y) + (1-target)*log(1-y))"
# reduction = "sum"                     # the default; or "mean"

# [regularizer]                         # optional: a penalty on the parameters, added to the total loss
# value = "w**2/10"                     # the parameters of a linear model are w_1_1, ..., b_1; of the layered ones,
#                                       # with the layer in front, w_1_1_1, ..., b_1_1
# kind = "l2"                           # or: strength/2 times the sum of the squares of all parameters
# strength = "1/5"

[data]
x = [["1"], ["-1/2"], ["2"]]            # a row an example; with one input, ["1", "-1/2", "2"] does as well
y = ["6/5", "1/3", 0.5]                 # the targets: numbers, or rows for several outputs
# classes = ["cat", "dog"]              # optional: names of the outputs
#
# csv = "data.csv"                      # or from a file, relative to this one; its first line names the columns
# inputs = ["age", "bmi"]               # columns
# target = "progression"                # a column, or a list of them; for softmax-cross-entropy a column of class
#                                       # names becomes one-hot, classes in sorted order

[flow]
initial = ["7/10"]                      # the parameters at time 0, in order; layer by layer: weights row by row, biases
horizon = "1/2"                         # the flow runs from time 0 to here

[query]                                 # optional: which predictions to decompose; without it, the training inputs
x = [["3/2"]]
"""
