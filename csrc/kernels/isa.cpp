// Compiled once per ISA, with FASTNN_ISA as its name. There is nothing else to decide here.
#include "kernels/activation.h"
#include "kernels/bias_activation.h"
#include "kernels/channel_norm.h"
#include "kernels/cross_entropy.h"
#include "kernels/fill.h"
#include "kernels/gradients.h"
#include "kernels/group_norm.h"
#include "kernels/loss.h"
#include "kernels/max_pool.h"
#include "kernels/optim.h"
#include "kernels/permutation.h"
#include "kernels/random.h"
#include "kernels/residual_norm.h"
#include "kernels/row_norm.h"
#include "kernels/softmax.h"
#include "kernels/softmax_columns.h"
#include "kernels/stream.h"
#include "kernels/table.h"
#include "kernels/weight_norm.h"

#define FASTNN_TEXT_(x) #x
#define FASTNN_TEXT(x) FASTNN_TEXT_(x)

namespace fastnn {
namespace {

template <class T>
constexpr Kernels<T> kernels = {
#define FASTNN_KERNEL(name, Args) &name##_kernel<T>,
#include "kernels/kernels.inc"
#undef FASTNN_KERNEL
};

template <class F, class T = typename F::Real>
constexpr StepKernels<T> step_kernels = {
#define FASTNN_OPTIMIZER(name, Constants) &name##_kernel<F, T>,
#include "kernels/kernels.inc"
#undef FASTNN_OPTIMIZER
};

template <class Storage>
constexpr GradientKernels gradient_kernels = {
#define FASTNN_GRADIENT_KERNEL(name) &name##_kernel<Storage>,
#include "kernels/kernels.inc"
#undef FASTNN_GRADIENT_KERNEL
};

}  // namespace

namespace FASTNN_ISA {
extern constexpr Table table = {
    FASTNN_TEXT(FASTNN_ISA),
    kernels<float>,
    kernels<double>,
    step_kernels<Format<Plain<float>, PlainState<float>>>,
    step_kernels<Format<Brain, PlainState<float>>>,
    step_kernels<Format<Plain<float>, BrainState>>,
    step_kernels<Format<Plain<float>, ByteState>>,
    step_kernels<Format<Plain<double>, PlainState<double>>>,
    gradient_kernels<Plain<float>>,
    gradient_kernels<Plain<double>>,
    gradient_kernels<Brain>,
    &philox_words,
    &integers_kernel,
    &permutation_kernel,
};
}  // namespace FASTNN_ISA

}  // namespace fastnn
