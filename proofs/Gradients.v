(* Finite sums, their gradients and integrals; and the one lemma behind every identity of this development:
   what a quantity gains along a descending path is the integral of the rate at which it descends.

   [change_along_descent] takes any quantity q with a gradient along the path w, where w' = - G. Theorem 1 is the case
   in which q is the output at the query and <grad q, G> is written as a sum over examples. S9a is the case in which q
   is the loss.

   Carries: P6, S9a. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean.
Open Scope R_scope.

(* ---------------------------------------------------------------- sums over i < m; m = 0 is allowed *)

Fixpoint sum (m : nat) (a : nat -> R) : R :=
  match m with O => 0 | S k => sum k a + a k end.

(* the same for vectors *)
Fixpoint vsum {n : nat} (m : nat) (u : nat -> Vec n) : Vec n :=
  match m with O => zero | S k => plus (vsum k u) (u k) end.

Lemma sum_ext m (a b : nat -> R) : (forall i, (i < m)%nat -> a i = b i) -> sum m a = sum m b.
Proof.
induction m as [|m IH]; intros H; simpl; [reflexivity|].
rewrite IH; [|intros; apply H; lia]. now rewrite H; [|lia].
Qed.

Lemma sum_scal_l m (a : nat -> R) (c : R) : sum m (fun i => c * a i) = c * sum m a.
Proof. induction m as [|m IH]; simpl; [ring|]. rewrite IH; ring. Qed.

Lemma sum_plus m (a b : nat -> R) : sum m (fun i => a i + b i) = sum m a + sum m b.
Proof. induction m as [|m IH]; simpl; [ring|]. rewrite IH; ring. Qed.

Lemma sum_opp m (a : nat -> R) : sum m (fun i => - a i) = - sum m a.
Proof. induction m as [|m IH]; simpl; [ring|]. rewrite IH; ring. Qed.

Lemma sum_zero m : sum m (fun _ => 0) = 0.
Proof. induction m as [|m IH]; simpl; [ring|]. rewrite IH; ring. Qed.

(* the first term split off, instead of the last *)
Lemma sum_first m (a : nat -> R) : sum (S m) a = a O + sum m (fun i => a (S i)).
Proof.
induction m as [|m IH]; [simpl; ring|].
change (sum (S m) a + a (S m) = a O + (sum m (fun i => a (S i)) + a (S m))). rewrite IH; ring.
Qed.

(* Finite sums exchanged: step P6. *)
Lemma P6_exchange m k (a : nat -> nat -> R) :
  sum m (fun i => sum k (fun j => a i j)) = sum k (fun j => sum m (fun i => a i j)).
Proof.
induction k as [|k IH]; simpl; [apply sum_zero|]. now rewrite -IH sum_plus.
Qed.

Lemma dot_vsum {n : nat} m (u : nat -> Vec n) v : dot (vsum m u) v = sum m (fun i => dot (u i) v).
Proof. induction m as [|m IH]; simpl; [apply dot_zero_l|]. now rewrite dot_plus_l IH. Qed.

Lemma dot_vsum_r {n : nat} m (u : nat -> Vec n) v : dot v (vsum m u) = sum m (fun i => dot v (u i)).
Proof. rewrite dot_sym dot_vsum. apply sum_ext; intros; apply dot_sym. Qed.

Lemma scal_vsum {n : nat} m (u : nat -> Vec n) (c : R) : scal c (vsum m u) = vsum m (fun i => scal c (u i)).
Proof. induction m as [|m IH]; simpl.
- exact (@scal_zero_r R_AbsRing (Vec n) c).
- now rewrite (@scal_distr_l R_AbsRing (Vec n)) IH. Qed.

Lemma vsum_ext {n : nat} m (u v : nat -> Vec n) : (forall i, (i < m)%nat -> u i = v i) -> vsum m u = vsum m v.
Proof.
induction m as [|m IH]; intros H; simpl; [reflexivity|].
rewrite IH; [|intros; apply H; lia]. now rewrite H; [|lia].
Qed.

Lemma is_grad_sum {n : nat} m (f : nat -> Vec n -> R) v df :
  (forall i, (i < m)%nat -> is_grad (f i) v (df i)) ->
  is_grad (fun u => sum m (fun i => f i u)) v (vsum m df).
Proof.
induction m as [|m IH]; intros H; simpl; [apply is_grad_const|].
apply is_grad_plus; [apply IH; intros; apply H; lia|apply H; lia].
Qed.

Lemma is_RInt_zero a b : is_RInt (fun _ => 0) a b 0.
Proof. assert (H := @is_RInt_const R_NormedModule a b zero). now rewrite scal_zero_r in H. Qed.

Lemma is_RInt_sum m (g : nat -> R -> R) (I : nat -> R) a b :
  (forall i, (i < m)%nat -> is_RInt (g i) a b (I i)) ->
  is_RInt (fun t => sum m (fun i => g i t)) a b (sum m I).
Proof.
induction m as [|m IH]; intros H; simpl.
- apply is_RInt_zero.
- apply (@is_RInt_plus R_NormedModule); [apply IH; intros; apply H; lia|apply H; lia].
Qed.

(* an integral that exists, under its value *)
Lemma is_RInt_RInt (g : R -> R) a b : ex_RInt g a b -> is_RInt g a b (RInt g a b).
Proof. apply (@RInt_correct R_CompleteNormedModule). Qed.

Lemma RInt_value (g : R -> R) a b I : is_RInt g a b I -> RInt g a b = I.
Proof. apply (@is_RInt_unique R_CompleteNormedModule). Qed.

Lemma RInt_scal_l (g : R -> R) a b c : ex_RInt g a b -> RInt (fun t => c * g t) a b = c * RInt g a b.
Proof. intros H. apply RInt_value, (@is_RInt_scal R_NormedModule), is_RInt_RInt, H. Qed.

Lemma ex_RInt_scal_l (g : R -> R) a b c : ex_RInt g a b -> ex_RInt (fun t => c * g t) a b.
Proof. apply (@ex_RInt_scal R_NormedModule). Qed.

Lemma ex_RInt_cont (g : R -> R) a b :
  (forall t, Rmin a b <= t <= Rmax a b -> continuous g t) -> ex_RInt g a b.
Proof. apply (@ex_RInt_continuous R_CompleteNormedModule). Qed.

(* ---------------------------------------------------------------- along a descending path *)

(* the times at which something is asked: inside the path, and not one of finitely many exceptions *)
Definition regular (T : R) (exceptions : list R) t := 0 < t < T /\ ~ In t exceptions.

Theorem change_along_descent {n : nat} (exceptions : list R)
  (w G : R -> Vec n) (T : R) (q : Vec n -> R) (dq : R -> Vec n) (rate : R -> R) I :
  0 <= T ->
  (forall t, regular T exceptions t -> is_derive w t (opp (G t))) ->           (* w' = - G *)
  (forall t, regular T exceptions t -> is_grad q (w t) (dq t)) ->
  (forall t, regular T exceptions t -> dot (dq t) (G t) = rate t) ->
  continuous_on 0 T (fun t => q (w t)) ->
  is_RInt rate 0 T I ->
  q (w T) = q (w 0) - I.
Proof.
intros HT Hw Hq Hrate Hc HI.
assert (H : is_RInt (fun t => - rate t) 0 T (q (w T) - q (w 0))).
{ apply (integral_of_derivative exceptions (fun t => q (w t))); auto.
  - intros t Ht Hn. rewrite <- (Hrate t (conj Ht Hn)), <- dot_opp_r.
    apply P3_chain_rule; [apply Hw|apply Hq]; now split.
  - exists (- I). now apply (@is_RInt_opp R_NormedModule). }
apply RInt_value in H.
assert (H' : RInt (fun t => - rate t) 0 T = - I) by (apply RInt_value; now apply (@is_RInt_opp R_NormedModule)).
lra.
Qed.

(* S9a for the flow: the loss falls at the rate |grad L|^2, at every time ... *)
Theorem S9a_flow {n : nat} (L : Vec n -> R) (gradL : Vec n -> Vec n) (w : R -> Vec n) t :
  is_derive w t (opp (gradL (w t))) -> is_grad L (w t) (gradL (w t)) ->
  is_derive (fun s => L (w s)) t (- norm (gradL (w t)) ^ 2).
Proof.
intros Hw HL. rewrite norm_sq -dot_opp_r. now apply P3_chain_rule.
Qed.

(* ... so it never rises along the flow. *)
Theorem S9a_no_rise {n : nat} (L : Vec n -> R) (gradL : Vec n -> Vec n) (w : R -> Vec n) T :
  (forall t, 0 <= t <= T -> is_derive w t (opp (gradL (w t)))) ->
  (forall t, 0 <= t <= T -> is_grad L (w t) (gradL (w t))) ->
  forall s t, 0 <= s <= t -> t <= T -> L (w t) <= L (w s).
Proof.
intros Hw HL s t Hs Ht.
assert (HD : forall r, 0 <= r <= T -> is_derive (fun p => L (w p)) r (- norm (gradL (w r)) ^ 2))
  by (intros r Hr; apply S9a_flow; auto).
destruct (mean_value (fun r => L (w r)) (fun r => - norm (gradL (w r)) ^ 2) s t) with (x := s) (y := t)
  as [c [_ E]]; try lra.
- apply continuous_continuous_on; intros r Hr.
  apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). eexists; apply HD; lra.
- intros r Hr; apply HD; lra.
- pose proof (Rmult_le_pos (t - s) (norm (gradL (w c)) ^ 2) ltac:(lra) (pow2_ge_0 _)). nra.
Qed.
