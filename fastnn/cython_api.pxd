"""The kernels of fastnn for Cython, without the GIL; fastnn_functions.inc says what each of them does.

Build with fastnn.get_include() among the include directories."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "fastnn.h" nogil:
    enum:
        FASTNN_OK
        FASTNN_NO_MEMORY
        FASTNN_INVALID
    enum:
        FASTNN_IDENTITY
        FASTNN_RELU
        FASTNN_LEAKY_RELU
        FASTNN_ELU
        FASTNN_GELU
        FASTNN_GELU_TANH
        FASTNN_SILU
        FASTNN_SIGMOID
        FASTNN_TANH
        FASTNN_SOFTPLUS
    ctypedef int32_t fastnn_activation
    ctypedef struct fastnn_random:
        uint64_t seed, stream, block
    ctypedef struct fastnn_options:
        uint64_t struct_size
        double lr
        double weight_decay
        double momentum
        double dampening
        double beta1
        double beta2
        double eps
        double momentum_decay
        double lr_decay
        double rho
        double alpha
        double gradient_scale
        int maximize
        int nesterov
        int amsgrad
        int decoupled_weight_decay
        int centered
        int zero_grad
    fastnn_options fastnn_options_sgd() noexcept
    fastnn_options fastnn_options_adam() noexcept
    fastnn_options fastnn_options_adamw() noexcept
    fastnn_options fastnn_options_adamax() noexcept
    fastnn_options fastnn_options_nadam() noexcept
    fastnn_options fastnn_options_radam() noexcept
    fastnn_options fastnn_options_lion() noexcept
    fastnn_options fastnn_options_adagrad() noexcept
    fastnn_options fastnn_options_adadelta() noexcept
    fastnn_options fastnn_options_rmsprop() noexcept

ctypedef fused real:
    float
    double

cdef int activation(real* y, const real* x, int64_t size, fastnn_activation kind, double option, double threshold) noexcept nogil
cdef int activation_backward(real* dx, const real* dy, const real* at, int64_t size, fastnn_activation kind, double option, double threshold) noexcept nogil
cdef int bias_activation(real* y, const real* x, const real* bias, int64_t rows, int64_t columns, fastnn_activation kind, double option, double threshold, double p, fastnn_random random) noexcept nogil
cdef int bias_activation_backward(real* dx, real* dbias, const real* dy, const real* x, const real* bias, int64_t rows, int64_t columns, fastnn_activation kind, double option, double threshold, double p, fastnn_random random) noexcept nogil
cdef int dropout(real* y, const real* x, int64_t size, double p, fastnn_random random) noexcept nogil
cdef int dropout2d(real* y, const real* x, int64_t channels, int64_t inner, double p, fastnn_random random) noexcept nogil
cdef int alpha_dropout(real* y, const real* x, int64_t size, double p, int backward, fastnn_random random) noexcept nogil
cdef int layer_norm(real* y, double* mean, double* rstd, const real* x, const real* weight, const real* bias, int64_t rows, int64_t columns, double eps) noexcept nogil
cdef int layer_norm_backward(real* dx, real* dweight, real* dbias, const real* dy, const real* x, const real* weight, const double* mean, const double* rstd, int64_t rows, int64_t columns) noexcept nogil
cdef int rms_norm(real* y, double* rrms, const real* x, const real* weight, int64_t rows, int64_t columns, double eps) noexcept nogil
cdef int rms_norm_backward(real* dx, real* dweight, const real* dy, const real* x, const real* weight, const double* rrms, int64_t rows, int64_t columns) noexcept nogil
cdef int dropout_add_layer_norm(real* y, real* sum, double* mean, double* rstd, const real* x, const real* residual, const real* weight, const real* bias, int64_t rows, int64_t columns, double eps, double p, fastnn_random random) noexcept nogil
cdef int dropout_add_layer_norm_backward(real* dx, real* dresidual, real* dweight, real* dbias, const real* dy, const real* dsum, const real* sum, const real* weight, const double* mean, const double* rstd, int64_t rows, int64_t columns, double p, fastnn_random random) noexcept nogil
cdef int batch_norm(real* y, double* mean, double* rstd, real* running_mean, real* running_var, const real* x, const real* weight, const real* bias, const real* residual, int64_t outer, int64_t channels, int64_t inner, double momentum, double eps, int training, int unbiased, int relu) noexcept nogil
cdef int batch_norm_backward(real* dx, real* dresidual, real* dweight, real* dbias, const real* dy, const real* x, const real* y, const real* weight, const double* mean, const double* rstd, int64_t outer, int64_t channels, int64_t inner, int training) noexcept nogil
cdef int group_norm(real* y, double* mean, double* rstd, const real* x, const real* weight, const real* bias, int64_t outer, int64_t channels, int64_t groups, int64_t inner, double eps) noexcept nogil
cdef int group_norm_backward(real* dx, real* dweight, real* dbias, const real* dy, const real* x, const real* weight, const double* mean, const double* rstd, int64_t outer, int64_t channels, int64_t groups, int64_t inner) noexcept nogil
cdef int weight_norm(real* w, double* norm, const real* v, const real* g, int64_t outer, int64_t channels, int64_t inner) noexcept nogil
cdef int weight_norm_backward(real* dv, real* dg, const real* dw, const real* v, const real* g, const double* norm, int64_t outer, int64_t channels, int64_t inner) noexcept nogil
cdef int softmax(real* y, const real* x, int64_t outer, int64_t n, int64_t inner) noexcept nogil
cdef int softmax_backward(real* dx, const real* dy, const real* y, int64_t outer, int64_t n, int64_t inner) noexcept nogil
cdef int log_softmax(real* y, const real* x, int64_t outer, int64_t n, int64_t inner) noexcept nogil
cdef int log_softmax_backward(real* dx, const real* dy, const real* y, int64_t outer, int64_t n, int64_t inner) noexcept nogil
cdef int max_pool2d(real* y, uint8_t* index, const real* x, int64_t planes, int64_t height, int64_t width, int64_t window_height, int64_t window_width, int64_t stride_height, int64_t stride_width, int64_t padding_height, int64_t padding_width) noexcept nogil
cdef int max_pool2d_backward(real* dx, const real* dy, const uint8_t* index, int64_t planes, int64_t height, int64_t width, int64_t window_height, int64_t window_width, int64_t stride_height, int64_t stride_width, int64_t padding_height, int64_t padding_width) noexcept nogil
cdef int softmax_cross_entropy(real* dlogits, double* row_loss, const real* logits, const int64_t* labels, const real* weight, int64_t rows, int64_t classes, double label_smoothing, double scale) noexcept nogil
cdef int softmax_cross_entropy_soft(real* dlogits, double* row_loss, const real* logits, const real* target, const real* weight, int64_t rows, int64_t classes, double label_smoothing, double scale) noexcept nogil
cdef int nll_loss(real* dinput, double* row_loss, const real* input, const int64_t* labels, const real* weight, int64_t rows, int64_t classes, double scale) noexcept nogil
cdef int mse_loss(real* dinput, double* loss, const real* input, const real* target, int64_t size, double scale) noexcept nogil
cdef int l1_loss(real* dinput, double* loss, const real* input, const real* target, int64_t size, double scale) noexcept nogil
cdef int huber_loss(real* dinput, double* loss, const real* input, const real* target, int64_t size, double delta, double scale) noexcept nogil
cdef int binary_cross_entropy_with_logits(real* dinput, double* loss, const real* input, const real* target, const real* weight, const real* pos_weight, int64_t size, double scale) noexcept nogil
cdef int kl_div(real* dinput, double* loss, const real* input, const real* target, int64_t size, int log_target, double scale) noexcept nogil
cdef int uniform(real* y, int64_t size, double a, double b, fastnn_random random) noexcept nogil
cdef int normal(real* y, int64_t size, double mean, double std, fastnn_random random) noexcept nogil
cdef int trunc_normal(real* y, int64_t size, double mean, double std, double a, double b, fastnn_random random) noexcept nogil
cdef int bernoulli(real* y, int64_t size, double p, fastnn_random random) noexcept nogil
cdef int exponential(real* y, int64_t size, double lambd, fastnn_random random) noexcept nogil
cdef int sum_squares(double* sum, real** grads, const int64_t* sizes, int64_t count) noexcept nogil
cdef int scale(real** grads, const int64_t* sizes, int64_t count, double factor) noexcept nogil
cdef int clamp(real** grads, const int64_t* sizes, int64_t count, double low, double high) noexcept nogil
cdef int sgd(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int adam(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int adamax(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int nadam(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int radam(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int lion(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int adagrad(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int adadelta(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int rmsprop(real** params, real** grads, real** state, const int64_t* sizes, int64_t count, int64_t step, double* memory, const fastnn_options* options) noexcept nogil
cdef int smooth_l1_loss(real* dinput, double* loss, const real* input, const real* target, int64_t size, double beta, double scale) noexcept nogil
cdef int gaussian_nll_loss(real* dinput, real* dvar, double* loss, const real* input, const real* target, const real* var, int64_t size, double eps, int full, double scale) noexcept nogil
cdef int integers(int64_t* y, int64_t size, int64_t low, uint64_t range, fastnn_random random) noexcept nogil
cdef int permutation(int64_t* y, int64_t size, fastnn_random random) noexcept nogil
cdef int philox(uint32_t* words, int64_t blocks, fastnn_random random) noexcept nogil
cdef int get_num_threads() noexcept nogil
cdef int set_num_threads(int n) noexcept nogil
