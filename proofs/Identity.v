(* The identity of Theorem 1 along a gradient flow, with an optional regulariser and with weights per example; and the
   ratio form "sum of a_i K(x, x_i), plus b" that the paper prints.

   Differentiability is asked for at the points of the path only, continuity of derivatives nowhere: the integrands
   have to be Riemann integrable. The existence of the flow is a hypothesis (H2): nothing here constructs it.

   Carries: T1, T1a, R2a, R3d, R4a, R5a, and steps P4, P7, P9, P11, P12 within the proofs. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients.
Open Scope R_scope.

(* ---------------------------------------------------------------- what is trained, and on what *)

Record problem := {
  dim : nat;                                     (* the parameters are a point of Vec dim = R^(dim + 1) *)
  Input : Type;                                  (* any type: an input is an index of the functions below *)
  Target : Type;
  output : Vec dim -> Input -> R;                (* f_w(x) *)
  grad_output : Vec dim -> Input -> Vec dim;     (* its gradient in w, wherever a hypothesis says so *)
  size : nat;                                    (* m, the number of examples *)
  example : nat -> Input;                        (* x_i for i < m *)
  target : nat -> Target;                        (* y*_i *)
  loss : Target -> R -> R;                       (* L(y*, y) *)
  loss_derivative : Target -> R -> R             (* its derivative in y, wherever a hypothesis says so *)
}.

Section Definitions.
Variable P : problem.

(* L'_i at the parameters v *)
Definition dloss (v : Vec (dim P)) (i : nat) : R :=
  loss_derivative P (target P i) (output P v (example P i)).

(* Definition 1 of the paper (D7) *)
Definition tangent_kernel (v : Vec (dim P)) (x x' : Input P) : R :=
  dot (grad_output P v x) (grad_output P v x').

Variables (w : R -> Vec (dim P)) (T : R) (x : Input P).

(* Definition 2 (D8): the paper's integral over c(t) is an integral over time *)
Definition path_kernel (x' : Input P) : R := RInt (fun t => tangent_kernel (w t) x x') 0 T.

(* the loss-weighted path kernel, N_i(x) *)
Definition loss_weighted_kernel (i : nat) : R :=
  RInt (fun t => dloss (w t) i * tangent_kernel (w t) x (example P i)) 0 T.

(* a_i(x): minus the ratio that the paper calls an average. In Coq, as in the paper, a division by 0 says nothing. *)
Definition weight (i : nat) : R := - (loss_weighted_kernel i / path_kernel (example P i)).

(* the total loss, and a vector that is its gradient where everything is differentiable: gradient_of_loss below *)
Definition total_loss (v : Vec (dim P)) : R :=
  sum (size P) (fun i => loss P (target P i) (output P v (example P i))).
Definition grad_loss (v : Vec (dim P)) : Vec (dim P) :=
  vsum (size P) (fun i => scal (dloss v i) (grad_output P v (example P i))).

(* what is descended at time t: examples weighted by I_i(t) (R5a), and a regulariser (R4a) *)
Definition objective (I : nat -> R -> R) (reg : Vec (dim P) -> R) (t : R) (v : Vec (dim P)) : R :=
  sum (size P) (fun i => I i t * loss P (target P i) (output P v (example P i))) + reg v.

(* H0 at one point: the output at the query, those at the examples, and the losses *)
Definition differentiable_at (v : Vec (dim P)) : Prop :=
  is_grad (fun u => output P u x) v (grad_output P v x) /\
  forall i, (i < size P)%nat ->
    is_grad (fun u => output P u (example P i)) v (grad_output P v (example P i)) /\
    is_derive (loss P (target P i)) (output P v (example P i)) (dloss v i).
End Definitions.

(* P5: additivity of the loss, and the chain rule. *)
Lemma gradient_of_objective (P : problem) I reg t v gradreg x :
  differentiable_at P x v -> is_grad reg v gradreg ->
  is_grad (objective P I reg t) v
    (plus (vsum (size P) (fun i => scal (I i t * dloss P v i) (grad_output P v (example P i)))) gradreg).
Proof.
intros [_ Hd] Hr. apply is_grad_plus; [|exact Hr].
apply is_grad_sum; intros i Hi. destruct (Hd i Hi) as [Hf Hl].
rewrite -(scal_assoc (K := R_AbsRing)).
apply is_grad_scal. now apply (P5_chain_rule (fun u => output P u (example P i)) (loss P (target P i))).
Qed.

Lemma gradient_of_loss (P : problem) x v :
  differentiable_at P x v -> is_grad (total_loss P) v (grad_loss P v).
Proof.
intros [_ Hd]. apply is_grad_sum; intros i Hi. destruct (Hd i Hi) as [Hf Hl].
now apply (P5_chain_rule (fun u => output P u (example P i)) (loss P (target P i))).
Qed.

(* ---------------------------------------------------------------- the identity *)

(* With weights I_i(t), a regulariser, and finitely many times (the changes of batch) at which nothing is asked. *)
Theorem R5a (P : problem) (I : nat -> R -> R) (reg : Vec (dim P) -> R) (grad_reg : Vec (dim P) -> Vec (dim P))
  (changes : list R) (w G : R -> Vec (dim P)) (T : R) (x : Input P) :
  0 <= T ->
  (forall t, regular T changes t -> is_derive w t (opp (G t))) ->                        (* the flow (H2) ... *)
  (forall t, regular T changes t -> is_grad (objective P I reg t) (w t) (G t)) ->        (* ... of the objective *)
  (forall t, regular T changes t -> differentiable_at P x (w t)) ->                      (* H0 *)
  (forall t, regular T changes t -> is_grad reg (w t) (grad_reg (w t))) ->
  continuous_on 0 T (fun t => output P (w t) x) ->
  (forall i, (i < size P)%nat ->
     ex_RInt (fun t => I i t * dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T) ->
  ex_RInt (fun t => dot (grad_output P (w t) x) (grad_reg (w t))) 0 T ->
  output P (w T) x = output P (w 0) x
    - sum (size P) (fun i => RInt (fun t => I i t * dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T)
    - RInt (fun t => dot (grad_output P (w t) x) (grad_reg (w t))) 0 T.
Proof.
intros HT Hflow HG Hdiff Hreg Hcont Hint Hintreg.
set (rate := fun t =>
  sum (size P) (fun i => I i t * dloss P (w t) i * tangent_kernel P (w t) x (example P i))
  + dot (grad_output P (w t) x) (grad_reg (w t))).
(* the output falls at this rate: its gradient against that of the objective, as a sum over examples *)
assert (Hrate : forall t, regular T changes t -> dot (grad_output P (w t) x) (G t) = rate t).
{ intros t Ht. unfold rate.
  rewrite dot_sym (is_grad_unique _ _ _ _ (HG t Ht)
                     (gradient_of_objective P I reg t (w t) _ x (Hdiff t Ht) (Hreg t Ht))).
  rewrite dot_plus_l dot_vsum (dot_sym (grad_reg (w t))). apply Rplus_eq_compat_r.
  apply sum_ext; intros i Hi. unfold tangent_kernel. now rewrite dot_scal_l (dot_sym (grad_output P (w t) x)). }
assert (HI := @is_RInt_plus R_NormedModule _ _ _ _ _ _
  (is_RInt_sum (size P) _ _ 0 T (fun i Hi => is_RInt_RInt _ _ _ (Hint i Hi))) (is_RInt_RInt _ _ _ Hintreg)).
rewrite (change_along_descent changes w G T (fun v => output P v x) (fun t => grad_output P (w t) x) rate _
           HT Hflow (fun t Ht => proj1 (Hdiff t Ht)) Hrate Hcont HI).
match goal with |- context [plus ?a ?b] => change (plus a b) with (Rplus a b) end. ring.
Qed.

(* Every example with weight 1 at all times. *)
Theorem R4a (P : problem) (reg : Vec (dim P) -> R) (grad_reg : Vec (dim P) -> Vec (dim P))
  (w G : R -> Vec (dim P)) (T : R) (x : Input P) :
  0 <= T ->
  (forall t, 0 < t < T -> is_derive w t (opp (G t))) ->
  (forall t, 0 < t < T -> is_grad (fun v => total_loss P v + reg v) (w t) (G t)) ->
  (forall t, 0 < t < T -> differentiable_at P x (w t)) ->
  (forall t, 0 < t < T -> is_grad reg (w t) (grad_reg (w t))) ->
  continuous_on 0 T (fun t => output P (w t) x) ->
  (forall i, (i < size P)%nat -> ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T) ->
  ex_RInt (fun t => dot (grad_output P (w t) x) (grad_reg (w t))) 0 T ->
  output P (w T) x = output P (w 0) x - sum (size P) (fun i => loss_weighted_kernel P w T x i)
    - RInt (fun t => dot (grad_output P (w t) x) (grad_reg (w t))) 0 T.
Proof.
intros HT Hflow HG Hdiff Hreg Hcont Hint Hintreg.
assert (one : forall i t, dloss P (w t) i * tangent_kernel P (w t) x (example P i)
                          = 1 * dloss P (w t) i * tangent_kernel P (w t) x (example P i)) by (intros; ring).
rewrite (R5a P (fun _ _ => 1) reg grad_reg nil w G T x HT); auto.
- f_equal; f_equal. apply sum_ext; intros i _. apply RInt_ext; intros t _. symmetry; apply one.
- intros t [Ht _]; auto.
- intros t [Ht _]. apply is_grad_ext with (2 := HG t Ht). intros v. unfold objective, total_loss.
  apply (f_equal (fun s : R => s + reg v)). apply sum_ext; intros i _; in_R; ring.
- intros t [Ht _]; auto.
- intros t [Ht _]; auto.
- intros i Hi. apply ex_RInt_ext with (2 := Hint i Hi). intros t _; apply one.
Qed.

(* Theorem 1 as an identity between integrals: nothing is divided by. *)
Theorem T1_identity (P : problem) (w G : R -> Vec (dim P)) (T : R) (x : Input P) :
  0 <= T ->
  (forall t, 0 < t < T -> is_derive w t (opp (G t))) ->                                  (* H2 *)
  (forall t, 0 < t < T -> is_grad (total_loss P) (w t) (G t)) ->
  (forall t, 0 < t < T -> differentiable_at P x (w t)) ->                                (* H0 *)
  continuous_on 0 T (fun t => output P (w t) x) ->
  (forall i, (i < size P)%nat -> ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T) ->
  output P (w T) x = output P (w 0) x - sum (size P) (fun i => loss_weighted_kernel P w T x i).
Proof.
intros HT Hflow HG Hdiff Hcont Hint.
assert (Z : forall t, dot (grad_output P (w t) x) zero = 0) by (intros; apply dot_zero_r).
rewrite (R4a P (fun _ => 0) (fun _ => zero) w G T x HT Hflow); auto.
- rewrite (RInt_value _ 0 T 0); [ring|].
  apply is_RInt_ext with (fun _ => 0); [intros; now rewrite Z|apply is_RInt_zero].
- intros t Ht. apply is_grad_ext with (2 := HG t Ht). intros; ring.
- intros; apply is_grad_const.
- apply ex_RInt_ext with (fun _ => 0); [intros; now rewrite Z|apply ex_RInt_const].
Qed.

(* ---------------------------------------------------------------- readings of the identity *)

(* The identity with the loss-weighted path kernel, every a_i = -1 and b = y_0 (remark 2): the same hypotheses. *)
Corollary R2a (P : problem) (w G : R -> Vec (dim P)) (T : R) (x : Input P) :
  0 <= T ->
  (forall t, 0 < t < T -> is_derive w t (opp (G t))) ->
  (forall t, 0 < t < T -> is_grad (total_loss P) (w t) (G t)) ->
  (forall t, 0 < t < T -> differentiable_at P x (w t)) ->
  continuous_on 0 T (fun t => output P (w t) x) ->
  (forall i, (i < size P)%nat -> ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T) ->
  output P (w T) x = sum (size P) (fun i => -1 * loss_weighted_kernel P w T x i) + output P (w 0) x.
Proof.
intros. rewrite (T1_identity P w G T x); auto.
rewrite (sum_scal_l (size P) (fun i => loss_weighted_kernel P w T x i)). ring.
Qed.

(* From the identity to the form that the paper prints: multiply and divide by K (steps P9 to P12). What is needed is
   H3 in its weakest form: where the path kernel vanishes, so does the loss-weighted one. *)
Theorem T1a_ratio (P : problem) (w : R -> Vec (dim P)) (T : R) (x : Input P) :
  output P (w T) x = output P (w 0) x - sum (size P) (fun i => loss_weighted_kernel P w T x i) ->
  (forall i, (i < size P)%nat ->
     path_kernel P w T x (example P i) = 0 -> loss_weighted_kernel P w T x i = 0) ->     (* H3 *)
  output P (w T) x
    = sum (size P) (fun i => weight P w T x i * path_kernel P w T x (example P i)) + output P (w 0) x.
Proof.
intros Hid H3. rewrite Hid Rplus_comm /Rminus -sum_opp. apply Rplus_eq_compat_l.
apply sum_ext; intros i Hi; in_R; unfold weight.
destruct (Req_dec (path_kernel P w T x (example P i)) 0) as [E|E].
- rewrite E (H3 i Hi E). ring.
- field; exact E.
Qed.

(* The output is a log-probability and the loss is minus it: every L'_i is -1, so every a_i is the number 1, and the
   model is a genuine kernel expansion around its start. No H3. *)
Theorem R3d (P : problem) (w G : R -> Vec (dim P)) (T : R) (x : Input P) :
  (forall y u, loss P y u = - u) -> (forall y u, loss_derivative P y u = -1) ->
  0 <= T ->
  (forall t, 0 < t < T -> is_derive w t (opp (G t))) ->
  (forall t, 0 < t < T -> is_grad (total_loss P) (w t) (G t)) ->
  (forall t, 0 < t < T -> differentiable_at P x (w t)) ->
  continuous_on 0 T (fun t => output P (w t) x) ->
  (forall i, (i < size P)%nat -> ex_RInt (fun t => tangent_kernel P (w t) x (example P i)) 0 T) ->
  output P (w T) x = output P (w 0) x + sum (size P) (fun i => path_kernel P w T x (example P i)).
Proof.
intros Hl Hdl HT Hflow HG Hdiff Hcont Hint.
assert (E : forall t i, dloss P (w t) i * tangent_kernel P (w t) x (example P i)
                        = -1 * tangent_kernel P (w t) x (example P i)) by (intros; unfold dloss; now rewrite Hdl).
rewrite (T1_identity P w G T x); auto.
- apply Rplus_eq_compat_l. rewrite -sum_opp. apply sum_ext; intros i Hi; in_R.
  unfold loss_weighted_kernel, path_kernel.
  rewrite (RInt_ext _ (fun t => -1 * tangent_kernel P (w t) x (example P i))); [|intros; apply E].
  rewrite RInt_scal_l; [ring|auto].
- intros i Hi. apply ex_RInt_ext with (fun t => -1 * tangent_kernel P (w t) x (example P i));
    [intros; symmetry; apply E|]. apply ex_RInt_scal_l; auto.
Qed.
