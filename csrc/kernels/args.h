// The arguments of every kernel: outputs, saved statistics, inputs, sizes, options. Pointers are never null unless
// said so, and never overlap unless said so; whoever fills these has checked that.
#pragma once

#include "kernels/args/activation.h"
#include "kernels/args/elementwise.h"
#include "kernels/args/loss.h"
#include "kernels/args/norm.h"
#include "kernels/args/optim.h"
#include "kernels/args/pool.h"
#include "kernels/args/random.h"
#include "kernels/args/softmax.h"
#include "kernels/args/stream.h"
